# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnosis: lines that programs really write, and the cause they prove."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _diagnosis
from ansible_collections.shipshape.stack.plugins.module_utils._diagnosis import Evidence

FAILED = Evidence(
    service="backend",
    container="shop-backend-1",
    verdict="exited with code 1",
    state="exited",
    exit_code=1,
    oom_killed=False,
    restart_count=0,
    error="",
    probes=(),
    log="",
)
LINES = [
    (
        "driver failed programming external connectivity on endpoint shop-nginx-1 (1f2e): "
        "Bind for 0.0.0.0:443 failed: port is already allocated",
        "A port the service needs is taken.",
    ),
    (
        "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
        "A port the service needs is taken.",
    ),
    (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "The Docker Engine does not answer.",
    ),
    ("Error: listen EADDRINUSE: address already in use :::3000", "A port the service needs is taken."),
    (
        "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
        "A port the service needs is taken.",
    ),
    (
        "Error response from daemon: pull access denied for shop/backend, repository does not exist or may require "
        "'docker login': denied: requested access to the resource is denied",
        "The image is not on this host and cannot be pulled.",
    ),
    (
        "Error response from daemon: manifest for redis:99 not found: manifest unknown: manifest unknown",
        "The image is not on this host and cannot be pulled.",
    ),
    ("Error response from daemon: No such image: shop/web:1", "The image is not on this host and cannot be pulled."),
    (
        'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
        "10.0.0.2:53: no such host",
        "The image is not on this host and its registry cannot be reached.",
    ),
    (
        'Error response from daemon: Head "https://registry-1.docker.io/v2/library/redis/manifests/7": net/http: '
        "request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        "The image is not on this host and its registry cannot be reached.",
    ),
    (
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
        'failed: unable to start container process: exec: "/app/run.sh": permission denied: unknown',
        "The command or entrypoint is not executable.",
    ),
    (
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
        'failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown',
        "The command or entrypoint does not exist in the image.",
    ),
    (
        "OCI runtime create failed: runc create failed: unable to start container process: "
        'exec: "uvicorn": executable file not found in $PATH: unknown',
        "The command or entrypoint does not exist in the image.",
    ),
    ("exec /entrypoint.sh: no such file or directory", "The command or entrypoint does not exist in the image."),
    ("/entrypoint.sh: line 3: exec: gunicorn: not found", "The command or entrypoint does not exist in the image."),
    (
        "exec /usr/local/bin/python3: exec format error",
        "The program was built for another architecture, or a script lacks its `#!` line.",
    ),
    (
        'could not write to file "pg_wal/xlogtemp.29": No space left on device',
        "The disk is full.",
    ),
    ("Error: ENOSPC: no space left on device, write", "The disk is full."),
    (
        'psycopg.OperationalError: connection failed: FATAL:  password authentication failed for user "shop"',
        "PostgreSQL refuses the password: the volume was initialised with another one.",
    ),
    ("redis.exceptions.AuthenticationError: NOAUTH Authentication required.", "Redis refuses the password."),
    (
        "redis.exceptions.AuthenticationError: invalid username-password pair or user is disabled.",
        "Redis refuses the password.",
    ),
    ("ModuleNotFoundError: No module named 'sqlalchemy'", "The program imports something the image does not contain."),
    (
        "ImportError: cannot import name 'app' from 'app.main' (/app/app/main.py)",
        "The program imports something the image does not contain.",
    ),
    ("Error: Cannot find module '/app/server.js'", "The program imports something the image does not contain."),
    (
        "OSError: [Errno 30] Read-only file system: '/app/cache'",
        "The program writes to its image's file system, which is read-only.",
    ),
    (
        "PermissionError: [Errno 13] Permission denied: '/data/dump.rdb'",
        "A file or port is not accessible to the service's unprivileged user.",
    ),
    (
        'nginx: [emerg] open() "/run/nginx.pid" failed (13: Permission denied)',
        "A file or port is not accessible to the service's unprivileged user.",
    ),
    (
        'could not translate host name "db" to address: Name or service not known',
        "A host name does not resolve inside the container.",
    ),
    (
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "A host name does not resolve inside the container.",
    ),
    ("Error: getaddrinfo ENOTFOUND redis", "A host name does not resolve inside the container."),
    (
        'connection to server at "172.18.0.2", port 5432 failed: Connection refused',
        "A service it depends on does not listen.",
    ),
    ("Error: connect ECONNREFUSED 172.18.0.3:6379", "A service it depends on does not listen."),
    (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        "The program stops with an error of its own.",
    ),
    ("ValueError: unknown log level", "The program stops with an error of its own."),
]


@pytest.mark.parametrize(("line", "cause"), LINES, ids=[line[-45:] for line, _cause in LINES])
def test_line_names_its_cause_and_is_the_evidence(line: str, cause: str) -> None:
    [finding] = _diagnosis.diagnose(replace(FAILED, log=f"starting up\n{line}\nbye"))
    assert finding.cause == cause
    assert finding.evidence == line[:300]
    assert finding.fix


@pytest.mark.parametrize(("line", "cause"), LINES[:3])
def test_error_of_the_engine_counts_before_the_log(line: str, cause: str) -> None:
    [finding] = _diagnosis.diagnose(replace(FAILED, error=line, log="ValueError: later"))
    assert (finding.cause, finding.evidence) == (cause, line)


def test_last_line_that_proves_the_cause_is_shown() -> None:
    [finding] = _diagnosis.diagnose(replace(FAILED, log="ValueError: first\nValueError: last"))
    assert finding.evidence == "ValueError: last"


def test_memory_kill_is_named_first_with_the_setting_to_raise() -> None:
    findings = _diagnosis.diagnose(replace(FAILED, oom_killed=True, exit_code=137, log="ValueError: x"))
    assert "memory limit" in findings[0].cause
    assert "stack_services.backend.memory" in findings[0].fix
    assert len(findings) == 2


def test_probe_output_is_the_evidence_of_an_unhealthy_service() -> None:
    sick = replace(FAILED, verdict="is unhealthy: …", probes=("exit 1: no rows",), log="listening")
    [finding] = _diagnosis.diagnose(sick)
    assert finding.evidence == "exit 1: no rows"


def test_silent_container_says_so() -> None:
    [finding] = _diagnosis.diagnose(FAILED)
    assert finding.cause == "The container wrote nothing before it failed."
    assert finding.evidence == "exited, exit code 1"


def test_unknown_failure_shows_the_last_line_of_the_log() -> None:
    [finding] = _diagnosis.diagnose(replace(FAILED, log="hello\nsomething odd\n\n"))
    assert (finding.cause, finding.evidence) == ("No known pattern matches.", "something odd")


def test_report_has_cause_evidence_fix_facts_and_log() -> None:
    sick = replace(
        FAILED, probes=("exit 1: 503",), restart_count=3, log="one\nModuleNotFoundError: No module named 'x'"
    )
    text = _diagnosis.report([sick, replace(FAILED, service="worker", container="")])
    lines = text.splitlines()
    assert lines[0] == "backend: exited with code 1"
    assert "  cause: The program imports something the image does not contain." in lines
    assert "  evidence: ModuleNotFoundError: No module named 'x'" in lines
    assert any(line.startswith("  fix: Add the dependency") for line in lines)
    assert "  container shop-backend-1: exited, exit code 1, 3 restarts" in lines
    assert "  last probe: exit 1: 503" in lines
    assert "    ModuleNotFoundError: No module named 'x'" in lines
    assert "worker: exited with code 1" in lines
    assert "  container (none): exited, exit code 1, 0 restarts" in lines


def test_result_is_plain_data_with_findings() -> None:
    result = _diagnosis.as_result(replace(FAILED, log="ValueError: x"))
    assert result["service"] == "backend"
    assert result["findings"][0]["evidence"] == "ValueError: x"


def test_text_that_proves_nothing_is_not_explained() -> None:
    assert _diagnosis.explain(["all is well", ""]) is None


def test_proof_far_into_a_long_line_is_what_is_shown() -> None:
    line = '{"event": "' + "x" * 2000 + "\\nModuleNotFoundError: No module named 'sqlalchemy'" + "y" * 2000
    [finding] = _diagnosis.diagnose(replace(FAILED, log=line))
    assert "ModuleNotFoundError: No module named 'sqlalchemy'" in finding.evidence
    assert len(finding.evidence) <= 300


@pytest.mark.parametrize("word", ["exec ", "exec: permission ", "manifest for ", 'Get "https://', "x", " "])
def test_huge_line_is_diagnosed_quickly(word: str) -> None:
    huge = word * (200_000 // len(word))
    started = time.process_time()
    [_finding] = _diagnosis.diagnose(replace(FAILED, log=huge))
    # It takes some tenths; with patterns that backtrack over the whole line, minutes.
    assert time.process_time() - started < 5


# Text as programs write it: any characters, with what rules look for in between.
FRAGMENTS = st.sampled_from(
    [*(line for line, _cause in LINES), "exec ", "manifest for ", "not found", "\n", "\r\n", " "]
)
TEXTS = st.text(max_size=40) | st.lists(st.text(max_size=400) | FRAGMENTS, max_size=5).map("".join)
EVIDENCE = st.builds(
    Evidence,
    service=st.text(max_size=20),
    container=st.text(max_size=20),
    verdict=st.sampled_from(["exited with code 1", "is unhealthy: x", "reached its memory limit"])
    | st.text(max_size=40),
    state=st.sampled_from(["exited", "running (unhealthy)", "missing", "created"]),
    exit_code=st.sampled_from([0, 1, 137, 255]),
    oom_killed=st.booleans(),
    restart_count=st.integers(0, 9),
    error=st.just("") | TEXTS,
    probes=st.lists(TEXTS.map(lambda text: f"exit 1: {text}".strip()), max_size=3).map(tuple),
    log=TEXTS,
)


def rule_of(finding: _diagnosis.Finding) -> _diagnosis._Rule | None:
    return next((rule for rule in _diagnosis._RULES if (rule.cause, rule.fix) == (finding.cause, finding.fix)), None)


@given(EVIDENCE)
@example(replace(FAILED, log="x" * 400 + " ValueError: far to the right"))
@example(replace(FAILED, log="exec: " + "x" * 300 + "permission denied"))
@example(replace(FAILED, log="something odd\n  "))
@example(replace(FAILED, probes=("exit 1:",), log=" \n\u2028"))
def test_whatever_was_observed_is_diagnosed_with_what_was_seen(evidence: Evidence) -> None:
    findings = _diagnosis.diagnose(evidence)
    assert findings
    given_texts = [evidence.error, *evidence.probes, evidence.log]
    for finding in findings:
        assert finding.cause and finding.fix and finding.evidence.strip()
        assert len(finding.evidence) <= 300
        rule = rule_of(finding)
        if rule:
            # The line that is shown is one of those that were given, and proves the cause by itself.
            assert any(finding.evidence in text for text in given_texts)
            assert re.search(rule.pattern, finding.evidence, re.IGNORECASE)
        else:
            facts = (f"exit code {evidence.exit_code}", evidence.state)
            assert any(finding.evidence in text for text in given_texts) or any(
                fact in finding.evidence for fact in facts
            )
    if evidence.oom_killed:
        assert "memory limit" in findings[0].cause


@given(EVIDENCE)
def test_known_pattern_in_any_of_the_texts_is_found(evidence: Evidence) -> None:
    lines = [evidence.error, *evidence.probes, *evidence.log.splitlines()]
    proven = [rule for rule in _diagnosis._RULES if any(re.search(rule.pattern, line, re.I) for line in lines)]
    named = [rule for finding in _diagnosis.diagnose(evidence) if (rule := rule_of(finding))]
    # The first, the most specific one; _RULES are in that order.
    assert named == proven[:1]


@given(st.lists(EVIDENCE, min_size=1, max_size=3))
def test_report_and_result_hold_every_finding(evidence: list[Evidence]) -> None:
    text = _diagnosis.report(evidence)
    for item in evidence:
        for finding in _diagnosis.diagnose(item):
            assert finding.evidence in text and finding.fix in text
        assert len(_diagnosis.as_result(item)["findings"]) == len(_diagnosis.diagnose(item))
