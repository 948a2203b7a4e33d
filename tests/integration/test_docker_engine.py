# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of the role docker_engine, on a Debian 12 and a Debian 13 host with systemd."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

import pytest
from hosts import DebianHost, debian_machine_without_systemd
from playbook import Outcome, run_play

DECLARED: dict[str, t.Any] = {
    "docker_engine_users": ["deployer"],
    "docker_engine_registry_mirrors": ["https://mirror.example.com"],
    "docker_engine_address_pools": [{"base": "172.30.0.0/16", "size": 24}],
    "docker_engine_proxies": {"http": "http://proxy.example.com:3128", "no_proxy": ["localhost", ".example.com"]},
    "docker_engine_daemon_options": {"labels": ["tier=test"], "max-concurrent-downloads": 5},
}

# For promises that do not depend on the release: the Engine is the same on both.
on_one_release = pytest.mark.parametrize("debian_host", ["debian13"], indirect=True, scope="session")


@dataclass(frozen=True)
class Installed:
    """The host after an installation from nothing, and what the runs said."""

    host: DebianHost
    on_bare_host_in_check_mode: Outcome
    upstream_only: Outcome
    first: Outcome

    def answer(self, command: str) -> str:
        """Return what ``command`` prints on the host."""
        return t.cast(str, self.host.machine.check_output(command))

    @property
    def daemon_json(self) -> dict[str, t.Any]:
        """Return the daemon.json of the host."""
        return t.cast("dict[str, t.Any]", json.loads(self.answer("cat /etc/docker/daemon.json")))

    @property
    def engine_pid(self) -> str:
        """Return the process that is the Engine now."""
        return self.answer("systemctl show --property MainPID --value docker")

    def apply(self, options: t.Sequence[str] = (), **variables: t.Any) -> Outcome:
        """Run the role with DECLARED, changed by ``variables``."""
        return apply(self.host, options, **(DECLARED | variables))


def role_play(**variables: t.Any) -> dict[str, t.Any]:
    """Return a play of the role alone."""
    return {"hosts": "all", "gather_facts": False, "roles": ["shipshape.stack.docker_engine"], "vars": variables}


def apply(host: DebianHost, options: t.Sequence[str] = (), **variables: t.Any) -> Outcome:
    """Run the role."""
    return run_play([role_play(**variables)], hosts=host.hosts, options=options)


@pytest.fixture(scope="module")
def installed(debian_host: DebianHost) -> Installed:
    """A host that went from bare to an Engine, configured as DECLARED."""
    debian_host.machine.check_output("useradd --create-home deployer")
    checked = apply(debian_host, ["--check", "--diff"], **DECLARED)
    upstream_only = apply(
        debian_host, docker_engine_source="upstream", docker_engine_upstream_url="https://docker.invalid/linux"
    )
    assert not debian_host.machine.exists("docker")
    first = apply(debian_host, **DECLARED)
    assert first.returncode == 0
    return Installed(debian_host, checked, upstream_only, first)


def test_check_mode_on_a_bare_host_says_what_would_be_installed(installed: Installed) -> None:
    outcome = installed.on_bare_host_in_check_mode
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 1
    assert "engine, compose, buildx, sdk" in outcome.output


def test_unreachable_upstream_is_named_with_the_address_and_a_way_out(installed: Installed) -> None:
    outcome = installed.upstream_only
    assert outcome.returncode == 2
    assert "cannot reach Docker's apt repository" in outcome.output
    assert "https://docker.invalid/linux/debian/gpg" in outcome.output
    assert "Could not resolve" in outcome.output
    assert 'docker_engine_source to "auto" or "distro"' in outcome.output


def test_engine_compose_buildx_and_sdk_are_new_enough(installed: Installed) -> None:
    assert version(installed.answer("docker version --format '{{.Server.Version}}'")) >= (25, 0)
    assert version(installed.answer("docker compose version --short")) >= (2, 26)
    assert version(installed.answer("docker buildx version")) >= (0, 13)
    installed.answer("/usr/bin/python3 -c 'import docker; docker.from_env().ping()'")
    assert installed.host.machine.service("docker").is_enabled


def test_second_run_changes_nothing(installed: Installed) -> None:
    before = installed.engine_pid
    outcome = installed.apply()
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 0
    assert installed.engine_pid == before


def test_a_newer_suite_gives_nothing_but_docker(installed: Installed) -> None:
    """Debian 12 takes Docker's packages, and no library or runtime, from the next release."""
    foreign = installed.answer(
        "dpkg-query -W -f '${Package} ${Version}\\n' containerd runc libc6 iptables python3 | sort"
    ).splitlines()
    assert len(foreign) == 5
    if installed.host.release == "debian12":
        assert all("deb13" not in line for line in foreign)
        assert "Candidate: 2.36" in installed.answer("apt-cache policy libc6")
        assert re.search(r"deb13\S* 600$", installed.answer("apt-cache policy docker.io"), re.MULTILINE)
        assert "trixie-security" in installed.answer("cat /etc/apt/sources.list.d/docker-newer-suite.sources")


def test_daemon_json_is_what_was_declared_with_safe_defaults(installed: Installed) -> None:
    assert installed.daemon_json == {
        "data-root": "/var/lib/docker",
        "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
        "labels": ["tier=test"],
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-file": "3", "max-size": "10m"},
        "max-concurrent-downloads": 5,
        "no-new-privileges": True,
        "proxies": {"http-proxy": "http://proxy.example.com:3128", "no-proxy": "localhost,.example.com"},
        "registry-mirrors": ["https://mirror.example.com"],
    }
    info = json.loads(installed.answer("docker info --format '{{json .}}'"))
    assert info["LiveRestoreEnabled"] is True
    assert info["Labels"] == ["tier=test"]
    assert info["HttpProxy"] == "http://proxy.example.com:3128"
    assert "name=no-new-privileges" in info["SecurityOptions"]


def test_an_option_taken_away_is_gone_and_only_that_restarts_the_engine(installed: Installed) -> None:
    before = installed.engine_pid
    outcome = installed.apply(docker_engine_daemon_options={"labels": ["tier=other"]})
    assert outcome.counter("changed") >= 1
    assert "max-concurrent-downloads" not in installed.daemon_json
    assert installed.engine_pid != before
    assert installed.answer("docker info --format '{{json .Labels}}'") == '["tier=other"]'
    assert installed.answer("ls /etc/docker").split() == ["daemon.json"]


@on_one_release
def test_check_mode_with_a_new_option_touches_nothing(installed: Installed) -> None:
    before = installed.engine_pid, installed.daemon_json
    outcome = installed.apply(["--check", "--diff"], docker_engine_daemon_options={"labels": ["tier=checked"]})
    assert outcome.returncode == 0
    assert "tier=checked" in outcome.output
    assert (installed.engine_pid, installed.daemon_json) == before


def test_an_unknown_option_is_refused_before_the_old_file_is_replaced(installed: Installed) -> None:
    before = installed.engine_pid, installed.daemon_json
    outcome = installed.apply(docker_engine_daemon_options={"live-restored": True})
    assert outcome.returncode == 2
    assert "does not accept the declared options" in outcome.output
    assert "live-restored" in outcome.output
    assert (installed.engine_pid, installed.daemon_json) == before


@on_one_release
def test_an_option_the_engine_does_not_start_with_is_taken_back(installed: Installed) -> None:
    """``dockerd --validate`` passes an unknown storage driver."""
    before = installed.daemon_json
    outcome = installed.apply(docker_engine_daemon_options={"storage-driver": "papyrus"})
    assert outcome.returncode == 2
    assert "The old one is back and the Engine runs with it" in outcome.output
    assert "papyrus" in outcome.output
    assert installed.daemon_json == before
    assert installed.host.machine.service("docker").is_running
    assert installed.answer("ls /etc/docker").split() == ["daemon.json"]


def test_users_are_in_the_docker_group(installed: Installed) -> None:
    assert "docker" in installed.host.machine.user("deployer").groups
    installed.answer("su deployer -c 'docker ps'")


@on_one_release
def test_an_unknown_user_is_refused(installed: Installed) -> None:
    outcome = installed.apply(docker_engine_users=["deployer", "nobody-knows"])
    assert outcome.returncode == 2
    assert "accounts that are not on this host: nobody-knows" in outcome.output


@on_one_release
def test_packages_are_held_and_released(installed: Installed) -> None:
    packages = {"docker.io", "docker-cli", "docker-compose", "docker-buildx"}
    assert installed.apply(docker_engine_hold="held").returncode == 0
    assert set(installed.answer("apt-mark showhold").split()) == packages
    assert installed.apply(docker_engine_hold="released").returncode == 0
    assert installed.answer("apt-mark showhold") == ""


def test_an_engine_that_is_new_enough_is_kept_with_its_daemon_json(installed: Installed) -> None:
    """``upstream`` cannot be reached, so nothing but keeping it can succeed."""
    before = installed.engine_pid, installed.daemon_json
    outcome = apply(
        installed.host,
        docker_engine_source="upstream",
        docker_engine_manage_daemon_json=False,
        docker_engine_daemon_options={"labels": ["tier=ignored"]},
    )
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 0
    assert (installed.engine_pid, installed.daemon_json) == before


@on_one_release
def test_a_stopped_engine_is_started(installed: Installed) -> None:
    installed.answer("systemctl stop docker.socket docker.service")
    outcome = installed.apply()
    assert outcome.returncode == 0
    assert installed.host.machine.service("docker").is_running


@on_one_release
def test_a_version_that_is_not_there_is_named(installed: Installed) -> None:
    before = installed.engine_pid
    outcome = installed.apply(docker_engine_version="27.0.1")
    assert outcome.returncode == 2
    assert "27.0.1" in outcome.output
    assert installed.engine_pid == before


@on_one_release
def test_the_version_that_is_there_satisfies_a_pin(installed: Installed) -> None:
    full = installed.answer("dpkg-query -W -f '${Version}' docker.io")
    pins = full, ".".join(full.split(".")[:2])
    outcome = run_play(
        [role_play(**(DECLARED | {"docker_engine_version": pin})) for pin in pins], hosts=installed.host.hosts
    )
    assert (outcome.returncode, outcome.counter("changed")) == (0, 0)


def test_a_container_runs_on_overlay2_with_its_limits_in_force(installed: Installed) -> None:
    import_probe_image(installed.host)
    try:
        installed.answer(
            "docker run --detach --name probe --memory 64m --pids-limit 32 --cpus 0.5 probe:1 /bin/sleep 600"
        )
        read = "cat /sys/fs/cgroup/{} || cat /sys/fs/cgroup/{}"
        memory = read.format("memory/memory.limit_in_bytes", "memory.max")
        pids = read.format("pids/pids.max", "pids.max")
        assert installed.answer(f"docker exec probe /bin/sh -c '{memory}'") == str(64 * 1024 * 1024)
        assert installed.answer(f"docker exec probe /bin/sh -c '{pids}'") == "32"
        assert installed.answer("docker info --format '{{.Driver}}'") == "overlay2"
        inspected = json.loads(installed.answer("docker inspect probe"))[0]
        assert inspected["HostConfig"]["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-file": "3", "max-size": "10m"},
        }
    finally:
        installed.answer("docker rm --force probe")


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
