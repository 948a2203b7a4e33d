# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Engine that may be killed and a disk that may be filled: a machine of namespaces within this machine."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import typing as t
from pathlib import Path

import yaml
from hosts import docker
from playbook import REPOSITORY

SECONDS = 60
"""Within which an Engine has started or stopped."""
# One disk for everything that is kept, as on a small server. The rest of the file system is this machine's.
BOOT = """
set -e
mount -t tmpfs -o size="$2" tmpfs "$1/disk"
mkdir "$1/disk/shipshape"
mount --bind "$1/disk/shipshape" /var/lib/shipshape
mount -t tmpfs tmpfs /run/containerd
ip link set lo up
echo up
exec sleep infinity
"""


class Machine:
    """Namespaces with an Engine in them: processes, mounts and network end with them.

    ``host`` is for DOCKER_HOST, ``address`` where its published ports are; commands after ``within`` run inside.
    """

    def __init__(self, directory: Path, size: str) -> None:
        self.directory, self.name = directory, f"the machine in {directory}"
        self.host = f"unix://{directory}/docker.sock"
        self._cgroup = f"shipshape-{os.urandom(4).hex()}"
        (directory / "disk").mkdir()
        for needed in (Path("/var/lib/shipshape"), Path("/run/containerd")):
            needed.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Should the tests be killed, the kernel kills what they started.
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        argv += ["--mount-proc", "docker-init", "--", "sh", "-c", BOOT, "sh", str(directory), size]
        self._boot = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self._boot.stdout is not None
        assert self._boot.stdout.readline() == "up\n"
        [self._init] = Path(f"/proc/{self._boot.pid}/task/{self._boot.pid}/children").read_text().split()
        self.within = ("nsenter", "--target", self._init, "--mount", "--net", "--pid")
        self.disk = Path(f"/proc/{self._init}/root{directory}/disk")
        self.address = self._connect()
        self._configure()
        self._engine: subprocess.Popen[bytes] | None = None
        self.start()

    def _connect(self) -> str:
        """Lay a cable between this machine and the other; return the other's address. RFC 2544: nobody routes these."""
        base, name = f"198.18.{random.randrange(256)}.{random.randrange(64) * 4}", f"ship{self._init}"
        here, there = (f"{base.rpartition('.')[0]}.{int(base.rpartition('.')[2]) + end}" for end in (1, 2))
        for argv in (
            ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self._init],
            ["ip", "addr", "add", f"{here}/30", "dev", name],
            ["ip", "link", "set", name, "up"],
            [*self.within, "ip", "addr", "add", f"{there}/30", "dev", "eth0"],
            [*self.within, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(argv, check=True)
        return there

    def _configure(self) -> None:
        """Write the Engine's configuration with what the role sets."""
        role = yaml.safe_load((REPOSITORY / "roles/docker_engine/defaults/main.yml").read_text())
        options = {
            "live-restore": role["docker_engine_live_restore"],
            "no-new-privileges": role["docker_engine_no_new_privileges"],
            "data-root": f"{self.directory}/disk/docker",
            "exec-root": f"{self.directory}/run",
            "pidfile": f"{self.directory}/docker.pid",
            "hosts": [self.host],
            "cgroup-parent": f"/{self._cgroup}",
        }
        (self.directory / "daemon.json").write_text(json.dumps(options))

    def start(self) -> None:
        """Start the Engine; return when it answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (self.directory / "log").open("ab") as log:
            notify.bind(str(self.directory / "notify"))
            notify.settimeout(SECONDS)
            argv = [*self.within, "dockerd", "--config-file", f"{self.directory}/daemon.json"]
            environment = os.environ | {"NOTIFY_SOCKET": f"{self.directory}/notify"}
            self._engine = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
            try:
                while b"READY=1" not in notify.recv(4096):
                    pass
            finally:
                (self.directory / "notify").unlink()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the Engine with a signal; return when it is gone. Its containers run on."""
        assert self._engine is not None
        pid = (self.directory / "docker.pid").read_text()
        subprocess.run([*self.within, "kill", f"-{number.value}", pid], check=True)
        self._engine.wait(SECONDS)
        self._engine = None

    def load(self, images: t.Sequence[str]) -> None:
        """Copy images from the Engine of this machine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "--host", self.host, "load", "--quiet"], stdin=saved.stdout, check=True)

    def fill_disk(self, *, left: int = 0) -> None:
        """Fill the disk but for some bytes."""
        # Others write, too: the last block may be theirs.
        with (self.disk / "filler").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while (room := self._free() - left) > 0:
                stream.write(bytes(min(room, 1024**2)))

    def _free(self) -> int:
        state = os.statvfs(self.disk)
        return state.f_bavail * state.f_frsize

    def make_room(self) -> None:
        (self.disk / "filler").unlink()

    def engine_log(self) -> str:
        """Return the end of what the Engine said."""
        return "\n".join((self.directory / "log").read_text(errors="replace").splitlines()[-40:])

    def close(self) -> None:
        """Leave nothing of it."""
        try:
            if self._engine is None:
                self.start()
            containers = docker("--host", self.host, "ps", "--all", "--quiet").split()
            if containers:
                docker("--host", self.host, "rm", "--force", *containers)
            self.stop()
        finally:
            self._boot.kill()
            self._boot.wait()
            assert self._boot.stdout is not None
            # Closed by the last of its processes.
            self._boot.stdout.read()
            for found in Path("/sys/fs/cgroup").glob(f"**/{self._cgroup}"):
                for cgroup, _children, _files in os.walk(found, topdown=False):
                    Path(cgroup).rmdir()


@contextlib.contextmanager
def machine(directory: Path, images: t.Sequence[str], *, size: str = "400m") -> t.Iterator[Machine]:
    """Yield a machine with these images, whose Engine is everybody's: the CLI's, the SDK's and the modules'."""
    it = Machine(directory, size)
    before = os.environ.get("DOCKER_HOST")
    try:
        it.load(images)
        os.environ["DOCKER_HOST"] = it.host
        yield it
    finally:
        if before is None:
            os.environ.pop("DOCKER_HOST", None)
        else:
            os.environ["DOCKER_HOST"] = before
        it.close()
