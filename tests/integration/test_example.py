# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example's own unit tests, in the `test` targets of the images the demo is built from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

PROJECT = Path("/srv/shop/project")


@pytest.mark.parametrize(("service", "passed"), [("backend", " passed"), ("frontend", "Tests")])
def test_the_examples_unit_tests_pass_in_the_test_target(service: str, passed: str) -> None:
    config = subprocess.run(
        ["docker", "compose", "config", "--format", "json"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    model = json.loads(config.stdout)
    build = model["services"][service]["build"]
    command = ["docker", "buildx", "build", "--progress", "plain", "--target", "test", "--no-cache-filter", "test"]
    command += ["--file", build["dockerfile"], "--secret", f"id=ca_bundle,src={model['secrets']['ca_bundle']['file']}"]
    for name, value in build["args"].items():
        command += ["--build-arg", f"{name}={value}"]
    done = subprocess.run([*command, build["context"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert passed in done.stderr
