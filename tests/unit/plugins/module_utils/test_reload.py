# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moments count when the files of nginx are compared with what it has loaded."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _reload


def test_newest_change_looks_into_all_directories_and_not_at_notes(tmp_path: Path) -> None:
    for number, name in enumerate(["nginx/conf.d/site.conf", "tls/fullchain.pem", "nginx/.validated"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000 + number, 1000 + number))
    assert _reload.newest_change([tmp_path / "nginx", tmp_path / "tls"]) == 1001
    assert _reload.newest_change([tmp_path / "nginx"]) == 1000
    assert _reload.newest_change([tmp_path / "nothing"]) == 0.0


def test_youngest_worker_is_found_among_all_below_a_process() -> None:
    before = time.time()
    # The shell is the master, its children are named like workers.
    script = "for _ in 1 2; do (exec -a 'nginx: worker process' sleep 30) & done; echo ready; wait"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True) as master:
        try:
            assert master.stdout is not None
            assert master.stdout.readline() == "ready\n"
            moment = None
            while moment is None and time.time() < before + 10:  # until they have become what they are called
                moment = _reload.youngest_worker(master.pid)
        finally:
            subprocess.run(["pkill", "--parent", str(master.pid)], check=False)
            master.kill()
    assert moment is not None
    assert before - 0.1 <= moment <= time.time() + 0.1


def test_a_process_without_workers_has_loaded_nothing() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            assert _reload.youngest_worker(process.pid) is None
        finally:
            process.kill()
