# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: rendered, generated once, and kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.modules import secret_files


def test_template_takes_the_value_as_it_is() -> None:
    assert secret_files.render('requirepass "${p}"\n', {"p": "a b/c@d"}) == 'requirepass "a b/c@d"\n'


def test_value_in_a_url_is_percent_encoded() -> None:
    template = "postgresql://shop:${p}@db:5432/shop"
    assert secret_files.render(template, {"p": "a/b@c:d%e"}) == "postgresql://shop:a%2Fb%40c%3Ad%25e@db:5432/shop"


def test_dollar_in_a_value_is_not_expanded_again() -> None:
    assert secret_files.render("${p}", {"p": "$x ${y}"}) == "$x ${y}"


def test_unknown_secret_is_named_without_the_others_values() -> None:
    with pytest.raises(StackError) as raised:
        secret_files.render("${absent}", {"present": "hunter2hunter2"})
    assert "absent" in raised.value.cause
    assert "hunter2" not in str(raised.value)


def test_missing_secrets_are_generated_long_and_url_safe(tmp_path: Path) -> None:
    values, generated = secret_files.known_values(tmp_path, {}, ["a", "b"])
    assert generated == ["a", "b"]
    assert values["a"] != values["b"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values.values())


def test_generated_secret_is_kept(tmp_path: Path) -> None:
    (tmp_path / "values").mkdir()
    (tmp_path / "values/a").write_text("kept-secret")
    assert secret_files.known_values(tmp_path, {}, ["a"]) == ({"a": "kept-secret"}, [])


def test_given_secret_wins_over_the_kept_one(tmp_path: Path) -> None:
    (tmp_path / "values").mkdir()
    (tmp_path / "values/a").write_text("kept-secret")
    assert secret_files.known_values(tmp_path, {"a": "given-secret"}, ["a"]) == ({"a": "given-secret"}, [])
