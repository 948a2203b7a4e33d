# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Engine ends in the middle of a deploy, or its disk is full: the site serves, and the next deploy converges."""

from __future__ import annotations

import contextlib
import re
import signal
import time
import typing as t
from pathlib import Path

import pytest
from engines import Machine, machine
from modules import Result, newest_image, project, shell
from rollout import PATIENCE, Events, Place, SharedSite, Site, Watch, good, result_of
from test_rollout_kill import MOMENTS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Machine]:
    images = [newest_image("shipshape/python"), newest_image("shipshape/nginx")]
    with machine(tmp_path_factory.mktemp("machine"), images) as it:
        yield it


@pytest.fixture(scope="module")
def shared_site(server: Machine, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[SharedSite]:
    shared = SharedSite(tmp_path_factory, Place(server.address, server.within))
    yield shared
    shared.close()


def deployed_through(server: Machine, site: Site, moment: str, end: str) -> Result:
    """Deploy a release while the Engine ends, which costs no request, and deploy it again; return the failure."""
    old = site.backends()
    version = site.declare_next()
    with Watch(site) as watch, Events(site) as events:
        deploy = site.begin_deploy()
        MOMENTS[moment](site, old)(events)
        server.stop(ENDS[end])
        if end == "killed":
            result = result_of(deploy)
    # Not watched: an Engine that starts makes its firewall anew, and for tenths of a second nobody gets in.
    server.start()
    if end == "restarted":
        result = result_of(deploy)
    with Watch(site) as then:
        good(site.deploy())
    assert watch.losses + then.losses == []
    assert site.ask() == version
    site.is_settled()
    assert result["failed"]
    assert "Traceback" not in result["msg"], result["msg"]
    return result


ENDS = {"killed": signal.SIGKILL, "restarted": signal.SIGTERM}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("moment", "serving"),
    [
        ("waiting", "Nothing was taken back: containers run on without the Engine"),
        # An Engine that is asked to end takes its time, and the deploy goes on with what needs none.
        ("reloaded", "Nothing was taken back: containers run on without the Engine|served by its new container"),
    ],
    ids=["waiting", "reloaded"],
)
def test_engine_that_ends_in_a_deploy_costs_no_request(
    server: Machine, site: Site, moment: str, serving: str, end: str
) -> None:
    result = deployed_through(server, site, moment, end)
    assert result["cause"] in (
        "The Docker Engine went away in the middle of the work.",
        "Compose could not bring the project up. The Docker Engine does not answer.",
    )
    assert result["evidence"]
    assert "repeat the deploy" in result["fix"]
    assert re.search(serving, result["msg"]), result["msg"]


@pytest.mark.parametrize("end", ENDS)
def test_engine_that_ends_while_the_old_release_stops_costs_no_request(server: Machine, site: Site, end: str) -> None:
    # It does not listen, so that it is still stopping when the Engine ends.
    site.declare(site.backend("stubborn", stop_signal="SIGWINCH"))
    good(site.deploy())
    result = deployed_through(server, site, "old stopping", end)
    assert result["cause"] == "The Docker Engine went away in the middle of the work."
    assert result["evidence"].startswith("Connection to the Engine: ")
    assert "repeat the deploy" in result["fix"]
    assert result["serving"] == {"backend": "its new container, and the old one is not removed yet"}


LARGE = "head -c 60000000 /dev/zero >/large"
ROOM = "Free space: `docker system df`, then `docker image prune`."


@pytest.mark.parametrize("left", [0, 20_000_000], ids=["before", "during"])
def test_build_on_a_full_disk_is_named_and_the_next_one_works(
    server: Machine, site: Site, tmp_path: Path, left: int
) -> None:
    version = site.ask()
    with project(tmp_path) as it:
        (tmp_path / "Dockerfile").write_text(f"FROM {site.python}\nCOPY . /app\nRUN {LARGE}\n")
        (tmp_path / "main.py").write_text(f"print({left})\n")
        it.declare({"backend": {"build": "."}})
        with Watch(site) as watch, full_disk(server, left=left):
            result = it.run("image_build")
        assert re.fullmatch(f"The image {it.name}/backend:.* could not be built. The disk is full.", result["cause"])
        assert "no space left on device" in result["evidence"].lower()
        assert result["fix"] == f"{ROOM} The running stack was not touched."
        assert set(watch.versions) == {version}
        assert watch.losses == []
        assert list(it.run("image_build")["built"]) == [result["cause"].split()[2]]


def test_container_that_cannot_be_made_on_a_full_disk_is_named(server: Machine, site: Site) -> None:
    with serving_on_a_full_disk(server, site, left=0) as deployed:
        site.declare(site.backend("bad"))
        result = deployed()
    assert result["cause"] == "Compose could not bring the project up. The disk is full."
    assert "no space left on device" in result["evidence"]
    assert result["fix"] == ROOM


def test_container_that_cannot_be_started_on_a_full_disk_is_named(server: Machine, site: Site) -> None:
    """It is made with the others, and its turn comes when a one-shot has eaten the disk."""
    with serving_on_a_full_disk(server, site, left=3_000_000) as deployed:
        needs = {"depends_on": {"import": {"condition": "service_completed_successfully"}}}
        site.declare(site.backend("bad", **needs), others={"import": shell(site.python, f"{LARGE} || exit 0")})
        result = deployed()
    is_full(result, "could not be started")


@pytest.mark.parametrize(
    ("restart", "verdict"),
    [("no", "exited with code 3"), ("unless-stopped", "could not be started")],
    ids=["given up", "restarted"],
)
def test_container_that_cannot_write_on_a_full_disk_is_named(
    server: Machine, site: Site, restart: str, verdict: str
) -> None:
    """Not even the line with which it complains can be written, and the Engine says nothing of a restart that fails."""
    with serving_on_a_full_disk(server, site, left=3_000_000) as deployed:
        site.declare(site.backend("bad", command=["sh", "-c", f"{LARGE} || exit 3"], restart=restart))
        begun = time.monotonic()
        result = deployed()
    assert time.monotonic() - begun < PATIENCE / 2
    is_full(result, verdict)


def is_full(result: Result, verdict: str) -> None:
    """Look whether the gate says of the backend that the disk is full."""
    [failure] = result["failures"]
    assert (failure["service"], failure["verdict"]) == ("backend", verdict)
    [finding] = failure["findings"]
    assert finding["cause"] == "The disk is full."
    assert "no space left on device" in finding["evidence"].lower()
    assert finding["fix"] == ROOM
    for part in finding.values():
        assert part in result["msg"]


@contextlib.contextmanager
def serving_on_a_full_disk(server: Machine, site: Site, *, left: int) -> t.Iterator[t.Callable[[], Result]]:
    """Yield a deploy that has but some bytes left. It costs nothing, and when there is room the next one is good."""
    version, before, files = site.ask(), site.project.containers(), site.files()

    def deploy() -> Result:
        with Watch(site) as watch, full_disk(server, left=left):
            result = site.deploy()
        assert set(watch.versions) == {version}
        assert watch.losses == []
        return result

    result: Result = {}
    yield lambda: result.update(deploy()) or result
    assert result["failed"]
    assert "Traceback" not in result["msg"], result["msg"]
    assert result["serving"] == {"backend": "its old container, untouched"}
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


@contextlib.contextmanager
def full_disk(server: Machine, *, left: int) -> t.Iterator[None]:
    server.fill_disk(left=left)
    try:
        yield
    finally:
        server.make_room()
