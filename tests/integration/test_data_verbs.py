# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that keep data, on the running demo: backup, drill, restore, migrate."""

from __future__ import annotations

import re
import typing as t

from hosts import docker
from playbook import REPOSITORY, Outcome, run_playbook


def play(name: str, **variables: t.Any) -> Outcome:
    """Run one of the playbooks with the variables of the demo."""
    playbook = REPOSITORY / "playbooks" / f"{name}.yml"
    outcome = run_playbook(playbook, REPOSITORY / "inventory/local", extra_vars=variables)
    assert outcome.returncode == 0, outcome.output
    return outcome


def sql(statement: str) -> str:
    argv = ["psql", "-X", "-A", "-t", "-q", "-U", "shop", "-d", "shop", "-c", statement]
    return docker("exec", "shop-db-1", *argv)


def test_what_was_dumped_comes_back_and_the_release_with_it() -> None:
    sql("INSERT INTO product (name) VALUES ('of the dump') ON CONFLICT DO NOTHING")
    found = re.search(r"shop-\d{8}T\d{6}Z-manual", play("backup").output)
    assert found
    assert "restored and compared in" in play("backup", drill=True).output
    sql("DELETE FROM product WHERE name = 'of the dump'; INSERT INTO product (name) VALUES ('of later')")
    restored = play("restore", restore_dump=found[0])
    assert f"{found[0]} is in place" in restored.output
    assert sql("SELECT count(*) FROM product WHERE name IN ('of the dump', 'of later')") == "1"
    states = docker("ps", "--filter", "label=com.docker.compose.project=shop", "--format", "{{.State}} {{.Status}}")
    assert len(states.splitlines()) == 6
    assert all("(healthy)" in state for state in states.splitlines()), states
    play("restore", restore_clean=True)
    assert sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'shop_before_%'") == "0"


def test_dump_of_an_older_revision_is_migrated_to_what_the_release_needs() -> None:
    play("migrate", migrate_revision="0002", migrate_downgrade=True)
    assert sql("SELECT version_num FROM alembic_version") == "0002"
    found = re.search(r"shop-\d{8}T\d{6}Z-manual", play("backup").output)
    assert found
    play("migrate")
    assert sql("SELECT version_num FROM alembic_version") == "0003"
    play("restore", restore_dump=found[0])
    assert sql("SELECT version_num FROM alembic_version") == "0003"
    play("restore", restore_clean=True)
