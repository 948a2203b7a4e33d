# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: which containers the edge's nginx sends requests to, changed by a validated reload."""

from __future__ import annotations

import contextlib
import os
import select
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _engine, _health, _nginx, _reload
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

SERVERS = "servers"
RELOAD_SECONDS = 10.0
"""nginx puts new workers in place within tenths of a second; a busy machine gets more."""


OPTIONS: dict[str, t.Any] = {
    "service": {"type": "str", "default": "nginx"},
    "directory": {"type": "path", "required": True},
    "source": {"type": "path"},
    "upstreams": {"type": "dict", "required": True},
    "certificates": {"type": "list", "elements": "path", "default": []},
    "drain_timeout": {"type": "str", "default": "30s"},
    "reload": {"type": "bool", "default": False},
    "url": {"type": "str"},
    "address": {"type": "str", "default": ""},
    "ca": {"type": "path"},
}
"""Argument spec of the option ``edge``; documented in the fragment of the same name."""


@dataclass(frozen=True)
class Edge:
    """An nginx in front of services.

    ``directory`` is mounted in its container; ``upstreams`` maps a service to its port; ``source`` holds files to bring
    into ``directory`` with the switch; ``watched`` are directories whose newer files mean a reload; times are seconds.
    """

    service: str
    directory: Path
    upstreams: t.Mapping[str, int]
    source: Path | None = None
    watched: tuple[Path, ...] = ()
    drain_timeout: float = 30.0

    def files(self, containers: t.Mapping[str, t.Sequence[str]]) -> dict[str, str]:
        """Return what ``directory`` has to hold, with these containers (names by service) in the lists of servers.

        Without ``source``, only the lists.
        """
        declared = {} if self.source is None else _nginx.read_live(self.source)
        lists = {
            f"{SERVERS}/{service}.conf": server_list(service, port, containers.get(service, ()))
            for service, port in self.upstreams.items()
        }
        return {**{name: text for name, text in declared.items() if not name.startswith(f"{SERVERS}/")}, **lists}

    def files_for_rehearsal(self, containers: t.Mapping[str, t.Sequence[str]]) -> dict[str, str]:
        """Return all that an nginx has to read to send requests to these containers and to nothing else."""
        around = _nginx.read_live(self.directory) if self.source is None else {}
        lists = {
            # Looked up when nginx starts: a name with `resolve` is unknown for its first moments.
            f"{SERVERS}/{service}.conf": "".join(f"server {name}:{port};\n" for name in containers[service])
            for service, port in self.upstreams.items()
            if containers.get(service)
        }
        return {**around, **self.files(containers), **lists}

    def live(self) -> dict[str, str]:
        """Return the files there are now, of those that ``files`` would decide on."""
        found = _nginx.read_live(self.directory) if self.directory.is_dir() else {}
        if self.source is None:
            return {name: text for name, text in found.items() if name.startswith(f"{SERVERS}/")}
        return found

    def write(self, files: t.Mapping[str, str]) -> None:
        """Make ``directory`` hold these files; each is replaced by rename."""
        gone = [name for name in self.live() if name not in files]
        _nginx.write_files(self.directory, files)
        _nginx.remove_files(self.directory, gone)


def from_options(given: t.Mapping[str, t.Any]) -> Edge:
    """Return the edge that a module's option describes."""
    return Edge(
        service=given["service"],
        directory=Path(given["directory"]),
        upstreams={name: int(port) for name, port in given["upstreams"].items()},
        source=Path(given["source"]) if given["source"] else None,
        watched=tuple(Path(path) for path in given["certificates"]),
        drain_timeout=_health.seconds(given["drain_timeout"], 0.0),
    )


def server_list(service: str, port: int, containers: t.Sequence[str]) -> str:
    """Return the lines of an ``upstream`` block for the containers of a service that are ready.

    The service's own name is the last resort: it leads to whatever Docker's DNS knows, also to containers that somebody
    replaced by hand, and it bridges the moment in which nginx has not yet resolved a new name.
    """
    lines = [f"# The containers of {service} that passed the health gate. Written by compose_up with each switch."]
    lines += [f"server {name}:{port} resolve max_fails=1 fail_timeout=1s;" for name in containers]
    last_resort = " backup" if containers else ""
    return "\n".join([*lines, f"server {service}:{port} resolve max_fails=1 fail_timeout=1s{last_resort};", ""])


def has_to_load(container: _engine.Container, directories: t.Iterable[Path]) -> bool:
    """Return whether nginx runs with older files than those there are: a run ended before its reload."""
    loaded = _reload.youngest_worker(container.pid)
    return loaded is not None and loaded < _reload.newest_change(directories)


def reload(client: t.Any, container: _engine.Container) -> dict[int, int]:
    """Let nginx test its files and load them; return its old workers, which still finish what they have begun.

    Returns when no old worker takes a new connection any more: a map of their pids to pidfds, which the caller closes.
    Raises StackError, with nginx's own word, when the files are refused; it runs on with what it has loaded.
    """
    config = _config(container)
    code, output = _engine.execute(client, container.id, ["nginx", "-t", "-q", "-e", "stderr", *config])
    if code != 0:
        raise _nginx.rejection(output, {})
    old = {}
    for pid in _reload.workers(container.pid):
        with contextlib.suppress(ProcessLookupError):
            old[pid] = os.pidfd_open(pid)
    code, output = _engine.execute(client, container.id, ["nginx", "-e", "stderr", *config, "-s", "reload"])
    deadline = time.monotonic() + RELOAD_SECONDS
    while code == 0 and time.monotonic() < deadline:
        serving = set(_reload.workers(container.pid))
        if serving and not serving & set(old):
            return old
        # A change of a process's title gives no event.
        time.sleep(0.01)
    close(old)
    raise StackError(
        f"nginx did not load its new configuration within {RELOAD_SECONDS:g} s; it serves on with the one it has.",
        evidence=output.strip() or _engine.log_tail(client, container.id, 5),
        fix="Read the log of the service above: something the configuration names cannot be opened.",
    )


def drained(old: dict[int, int], timeout: float) -> bool:
    """Wait at most ``timeout`` seconds until the old workers have ended; forget those that have. Return if all have."""
    poll = select.poll()
    for handle in old.values():
        poll.register(handle, select.POLLIN)
    by_handle = {handle: pid for pid, handle in old.items()}
    deadline = time.monotonic() + timeout
    while old and (left := deadline - time.monotonic()) > 0:
        for handle, _mask in poll.poll(left * 1000):
            poll.unregister(handle)
            del old[by_handle[handle]]
            os.close(handle)
    return not old


def close(old: dict[int, int]) -> None:
    """Close the pidfds of workers nobody waits for any more."""
    while old:
        os.close(old.popitem()[1])


def _config(container: _engine.Container) -> list[str]:
    words = list(container.argv)
    return ["-c", words[words.index("-c") + 1]] if "-c" in words[:-1] else []
