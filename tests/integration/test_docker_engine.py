# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role docker_engine promises beside the scenarios of molecule/: hosts that are odd in one way or another."""

from __future__ import annotations

import re
import typing as t

from hosts import DebianHost, debian_machine_without_systemd
from playbook import Outcome, run_play


def apply(host: DebianHost, options: t.Sequence[str] = (), **variables: t.Any) -> Outcome:
    """Run the role alone."""
    role = {"hosts": "all", "gather_facts": False, "roles": ["shipshape.stack.docker_engine"], "vars": variables}
    return run_play([role], hosts=host.hosts, options=options)


def test_check_mode_on_a_bare_host_says_what_would_be_installed(bare_host: DebianHost) -> None:
    outcome = apply(bare_host, ["--check", "--diff"])
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 1
    assert "engine, compose, buildx, sdk" in outcome.output


def test_unreachable_upstream_is_named_with_the_address_and_a_way_out(bare_host: DebianHost) -> None:
    address = "https://docker.invalid/linux"
    outcome = apply(bare_host, docker_engine_source="upstream", docker_engine_upstream_url=address)
    assert outcome.returncode == 2
    assert "cannot reach Docker's apt repository" in outcome.output
    assert "https://docker.invalid/linux/debian/gpg" in outcome.output
    assert "Could not resolve" in outcome.output
    assert 'docker_engine_source to "auto" or "distro"' in outcome.output
    assert not bare_host.machine.exists("docker")


def test_an_engine_too_old_is_replaced_also_without_systemd() -> None:
    """Debian 12's own Engine 20.10 and Compose v1, started by the init script, with a container that must come back."""
    with debian_machine_without_systemd("debian12") as host:
        answer = host.machine.check_output
        answer(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
            " apt-get install -qq --yes --no-install-recommends docker.io docker-compose"
        )
        answer("echo 'ulimit() { :; }' > /etc/default/docker")  # a container may not raise its limits
        answer("/etc/init.d/docker start")
        answer("timeout 30 sh -c 'until docker version; do :; done'")
        import_probe_image(host)
        answer("docker run --detach --restart always --name old probe:1 /bin/sleep 600")
        assert version(answer("docker version --format '{{.Server.Version}}'")) < (25, 0)

        assert apply(host).returncode == 0
        assert version(answer("docker version --format '{{.Server.Version}}'")) >= (25, 0)
        assert version(answer("docker compose version --short")) >= (2, 26)
        assert answer("docker info --format '{{.LiveRestoreEnabled}}'") == "true"
        assert answer("docker inspect --format '{{.State.Status}}' old") == "running"

        engine = answer("cat /run/docker.pid")
        assert apply(host).counter("changed") == 0
        assert answer("cat /run/docker.pid") == engine

        # As a run leaves it that was cut off between the file and the restart.
        answer("touch /etc/docker/daemon.json")
        assert apply(host).returncode == 0
        assert answer("cat /run/docker.pid") != engine

        refused = apply(host, docker_engine_daemon_options={"storage-driver": "papyrus"}, docker_engine_start_timeout=5)
        assert refused.returncode == 2
        assert "The old one is back and the Engine runs with it" in refused.output
        assert "driver not supported: papyrus" in refused.output
        assert answer("docker inspect --format '{{.State.Status}}' old") == "running"


def import_probe_image(host: DebianHost) -> None:
    """Make an image of the host's own shell, cat and sleep: no registry is needed."""
    host.machine.check_output(
        "files='/bin/sh /bin/cat /bin/sleep'; tar --dereference --absolute-names -c $files"
        " $(ldd $files | grep -o '/lib[^ ]*' | sort -u) | docker import - probe:1"
    )


def version(text: str) -> tuple[int, ...]:
    """Return the first dotted number of ``text``, for comparisons."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    assert found, text
    return tuple(int(part) for part in found.group().split("."))
