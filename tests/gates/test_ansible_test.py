# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each line of ansible-core: `ansible-test sanity` without ignores, the unit tests, the templates and the documents."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.tests.gates.collection import REPOSITORY, Core, Finished, cores, stage

CACHE = REPOSITORY / ".cache/ansible-test"
# Pattern of a warning that is accepted -> why.
ACCEPTED = {
    r"Reviewing previous \d+ warning": "the heading of those it repeats",
    r'Using locale "C\.UTF-8" instead of "en_US\.UTF-8"': "no test sorts or prints by locale",
}
# In the environment of the core: which pip does its ansible-test want?
PIP = (
    "import sys, types; from ansible_test._internal.python_requirements import get_venv_packages;"
    "print(get_venv_packages(types.SimpleNamespace(version=sys.argv[1]))['pip'])"
)


@pytest.fixture(scope="module", params=cores(), ids=lambda core: f"ansible-core {core.version} on Python {core.python}")
def core(request: pytest.FixtureRequest) -> Core:
    """Each line of ansible-core."""
    line: Core = request.param
    return line


def home(core: Core) -> Path:
    """Return the home that ansible-test gets: it keeps its environments there, and takes pip's bootstrap from there."""
    place = CACHE / f"{core.version}-{core.python}"
    answer = core.run("python", "-c", PIP, core.python)
    if answer.returncode != 0:
        answer.refuse("this ansible-test no longer says which pip it wants. Fix: adapt PIP in this file.")
    bootstrap = place / f".ansible/test/cache/get_pip_{answer.stdout.strip().replace('.', '_')}.py"
    bootstrap.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(__file__).with_name("get_pip.py"), bootstrap)
    # ansible-test hands no variable of pip's on, so the user's own settings must be found in the home.
    for settings in (".config/pip", ".pip"):
        link, real = place / settings, Path.home() / settings
        if real.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(real)
    return place


def ansible_test(core: Core, root: Path, command: str) -> Finished:
    """Run a command of ansible-test. Fails with its output unless it passed without a warning."""
    arguments = ("--local", "--python", core.python, "--color", "no", "--truncate", "0")
    place = str(home(core))
    # First the environments of the tests: what pip has to say meanwhile is no finding.
    if command == "sanity":
        primed = core.run("ansible-test", "sanity", "--prime-venvs", *arguments, cwd=root, HOME=place)
        if primed.returncode != 0:
            primed.refuse("could not make its environments. Fix: see that pip can reach a package index.")
    done = core.run("ansible-test", command, *arguments, cwd=root, HOME=place)
    if done.returncode != 0:
        done.refuse("failed")
    warnings = [line for line in done.output.splitlines() if line.startswith("WARNING: ")]
    new = [line for line in warnings if not any(re.search(pattern, line) for pattern in ACCEPTED)]
    if new:
        done.refuse(f"warns: {'; '.join(new)}")
    return done


def test_sanity(core: Core, tmp_path: Path) -> None:
    root = stage(tmp_path)
    done = ansible_test(core, root, "sanity")
    ran = set(re.findall(r'^Running sanity test "([\w-]+)"', done.output, re.MULTILINE))
    # Those need a program or an environment of their own, and are left out where it is missing.
    assert {"import", "pep8", "pylint", "shellcheck", "validate-modules", "yamllint"} <= ran


def test_units(core: Core, tmp_path: Path) -> None:
    root = stage(tmp_path)
    done = ansible_test(core, root, "units")
    summaries = re.findall(r"^=+ (.*) in [\d.]+s.* =+$", done.output, re.MULTILINE)
    # module_utils alone, as on a host, and the rest with the whole of ansible-core.
    assert len(summaries) == 2
    if not all(re.fullmatch(r"\d+ passed", summary) for summary in summaries):
        done.refuse(f"not every test passed: {'; '.join(summaries)}")


def test_templates_and_documents(core: Core) -> None:
    """ansible-test runs each test in a process of its own; these share what they render."""
    done = core.run("pytest", "tests/templates", "tests/documents", "-q", "-p", "no:cacheprovider")
    if done.returncode != 0 or not re.search(r"^\d+ passed in ", done.stdout.splitlines()[-1]):
        done.refuse("not every test passed")
