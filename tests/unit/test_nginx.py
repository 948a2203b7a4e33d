# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx says, and which files change."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _nginx
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._nginx import Change

FILES = {"nginx.conf": "http {\n    include conf.d/*.conf;\n}\n", "conf.d/site.conf": "a;\nb;\nbogus on;\nd;\ne;\nf;\n"}


def test_refusal_shows_nginx_line_and_the_lines_of_the_file() -> None:
    output = (
        "nginx: [alert] could not open error log file: open() failed\n"
        '2026/11/23 17:00:00 [emerg] 1#1: unknown directive "bogus" in /etc/nginx/stack/conf.d/site.conf:3\n'
        "nginx: configuration file /etc/nginx/stack/nginx.conf test failed\n"
    )
    error = _nginx.rejection(output, FILES)
    assert error.cause == "nginx refuses the new edge configuration."
    assert error.evidence.splitlines() == [
        '2026/11/23 17:00:00 [emerg] 1#1: unknown directive "bogus" in /etc/nginx/stack/conf.d/site.conf:3',
        "     1 | a;",
        "     2 | b;",
        ">    3 | bogus on;",
        "     4 | d;",
        "     5 | e;",
    ]
    assert "untouched" in error.fix


def test_refusal_outside_a_file_shows_the_line_alone() -> None:
    output = 'nginx: [emerg] cannot load certificate "/etc/nginx/tls/fullchain.pem": BIO_new_file() failed\n'
    assert _nginx.rejection(output, FILES).evidence == output.strip()


def test_output_without_a_known_form_is_shown_as_it_is() -> None:
    assert _nginx.rejection("exec nginx: no such file\n", FILES).evidence == "exec nginx: no such file"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('nginx: [emerg] SSL_CTX_set1_curves_list("X25519MLKEM768") failed', "nginx_proxy_tls_groups"),
        ('nginx: [emerg] invalid parameter "resolve" in /etc/nginx/stack/nginx.conf:2', "1.27.4"),
    ],
)
def test_refusal_by_an_image_that_is_too_old_says_so(line: str, hint: str) -> None:
    assert hint in _nginx.rejection(line, FILES).fix


def test_changes_name_what_is_new_other_and_gone() -> None:
    live = {"nginx.conf": "same", "conf.d/old.conf": "gone", "conf.d/site.conf": "before"}
    wanted = {"nginx.conf": "same", "conf.d/new.conf": "new", "conf.d/site.conf": "after"}
    assert _nginx.changes(live, wanted) == [
        Change("conf.d/new.conf", None, "new"),
        Change("conf.d/old.conf", "gone", None),
        Change("conf.d/site.conf", "before", "after"),
    ]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.conf", "conf.d/../../x", "conf.d//x", "./x", "", ".validated"])
def test_file_outside_the_directory_is_refused(name: str) -> None:
    with pytest.raises(StackError, match="not a file below"):
        _nginx.check_names({**FILES, name: ""})


def test_configuration_without_entry_is_refused() -> None:
    with pytest.raises(StackError, match=r"no nginx\.conf"):
        _nginx.check_names({"conf.d/site.conf": ""})


def test_directory_of_somebody_else_is_refused() -> None:
    with pytest.raises(StackError, match="does not look like"):
        _nginx.check_directory(Path("/etc"), {"passwd": "root"})
    _nginx.check_directory(Path("/srv/shop/nginx"), {})


def test_files_are_replaced_inside_the_same_directory(tmp_path: Path) -> None:
    directory = tmp_path / "nginx"
    _nginx.write_files(directory, {**FILES, "upstreams/old.conf": "x"})
    inode = directory.stat().st_ino
    _nginx.write_files(directory, FILES)
    _nginx.remove_files(directory, ["upstreams/old.conf"])
    assert _nginx.read_live(directory) == FILES
    assert directory.stat().st_ino == inode
    assert not (directory / "upstreams").exists()
    assert _nginx.wrong_modes(directory, FILES) == []
    (directory / "nginx.conf").chmod(0o600)
    assert _nginx.wrong_modes(directory, FILES) == ["nginx.conf"]


def test_validation_counts_for_the_same_content_and_image_only(tmp_path: Path) -> None:
    _nginx.write_stamp(tmp_path, _nginx.stamp(FILES, "nginx:1"))
    assert _nginx.is_validated(tmp_path, _nginx.stamp(dict(reversed(FILES.items())), "nginx:1"))
    assert not _nginx.is_validated(tmp_path, _nginx.stamp(FILES, "nginx:2"))
    assert not _nginx.is_validated(tmp_path, _nginx.stamp({**FILES, "nginx.conf": ""}, "nginx:1"))
    assert not _nginx.is_validated(tmp_path / "absent", _nginx.stamp(FILES, "nginx:1"))
