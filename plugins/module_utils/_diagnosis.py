# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence in, findings out: names the likely cause of a failed container. No I/O."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.shipshape.stack.plugins.module_utils._errors import DISK_FULL


@dataclass(frozen=True)
class Evidence:
    """What was observed of one service that did not become ready."""

    service: str
    container: str
    verdict: str
    state: str
    exit_code: int
    oom_killed: bool
    restart_count: int
    error: str
    probes: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Finding:
    """A named cause with the line that proves it and the next step."""

    cause: str
    evidence: str
    fix: str


@dataclass(frozen=True)
class _Rule:
    pattern: str
    cause: str
    fix: str


_LONGEST_EVIDENCE = 300
"""Characters of a line that are shown."""
_LEAD = 40
"""Of these, what is shown before the proof where the line is longer: what follows it says more."""

# What a pattern leaves open is bounded: the proof then fits into what is shown, and a huge line takes no hours.
_RULES = (
    _Rule(
        r"port is already allocated|address already in use|EADDRINUSE",
        "A port the service needs is taken.",
        "Find the holder with `ss -ltnp`, stop it, or choose another port.",
    ),
    _Rule(
        r"pull access denied|manifest (for .{0,200} )?(not found|unknown)|No such image|failed to resolve reference",
        "The image is not on this host and cannot be pulled.",
        "Check the image's name and tag, build it first, or log in to its registry.",
    ),
    _Rule(
        r"(Get|Head) \\?\"https?://[^ ]{0,200}/v2/",
        "The image is not on this host and its registry cannot be reached.",
        "Check name and network, or build the image first.",
    ),
    _Rule(
        r"exec:? .{0,200}permission denied",
        "The command or entrypoint is not executable.",
        "Set the executable bit before the build (`chmod +x`), or call it through its interpreter.",
    ),
    _Rule(
        r"executable file not found|exec:? .{0,200}(not found|no such file or directory)",
        "The command or entrypoint does not exist in the image.",
        "Check `command`; a script with CRLF line ends or without its interpreter gives the same message.",
    ),
    _Rule(
        r"CERTIFICATE_VERIFY_FAILED|self-signed certificate in certificate chain|UnknownIssuer",
        "The network intercepts TLS with a CA this host does not know.",
        "Put the CA into /usr/local/share/ca-certificates of the host and run `update-ca-certificates`.",
    ),
    _Rule(
        r"exec format error",
        "The program was built for another architecture, or a script lacks its `#!` line.",
        "Build the image for this host's architecture; check the first line of the entrypoint.",
    ),
    _Rule(
        r"No space left on device|ENOSPC",
        "The disk is full.",
        DISK_FULL,
    ),
    _Rule(
        r"Cannot connect to the Docker daemon|error during connect",
        "The Docker Engine does not answer.",
        "Start it (`systemctl start docker` or `service docker start`) and repeat the deploy.",
    ),
    _Rule(
        r"password authentication failed",
        "PostgreSQL refuses the password: the volume was initialised with another one.",
        "Put the old password back, or change it in the database with ALTER ROLE.",
    ),
    _Rule(
        r"NOAUTH|WRONGPASS|invalid username-password pair",
        "Redis refuses the password.",
        "Deploy redis and its clients together, so that they share one secret.",
    ),
    _Rule(
        r"ModuleNotFoundError|ImportError|Cannot find module",
        "The program imports something the image does not contain.",
        "Add the dependency to the lock file, and the file to the build context.",
    ),
    _Rule(
        r"Read-only file system",
        "The program writes to its image's file system, which is read-only.",
        "Write to /tmp or a volume, or declare the path under `tmpfs` of the service.",
    ),
    _Rule(
        r"permission denied|PermissionError|EACCES|Operation not permitted",
        "A file or port is not accessible to the service's unprivileged user.",
        "Check the owner of volumes and mounted files against the `user` of the service.",
    ),
    _Rule(
        r"could not translate host name|Name or service not known|Temporary failure in name resolution|getaddrinfo",
        "A host name does not resolve inside the container.",
        "Use the service's name (db, redis), and a network both services are on.",
    ),
    _Rule(
        r"Connection refused|ECONNREFUSED",
        "A service it depends on does not listen.",
        "See whether that service is healthy: `docker compose ps`.",
    ),
    _Rule(
        r"SyntaxError|ValidationError|Traceback|Error:",
        "The program stops with an error of its own.",
        "Read its log below; the last lines name the error.",
    ),
)


def diagnose(evidence: Evidence) -> list[Finding]:
    """Return the findings, the most specific first; at least one."""
    findings = []
    if evidence.oom_killed or (evidence.exit_code == 137 and "memory" in evidence.verdict):
        findings.append(
            Finding(
                "The container reached its memory limit and the kernel killed it.",
                f"OOMKilled: true, exit code {evidence.exit_code}",
                f"Raise stack_services.{evidence.service}.memory, or find what grows.",
            )
        )
    lines = [evidence.error, *reversed(evidence.probes), *reversed(evidence.log.splitlines())]
    known = explain(lines)
    if known:
        findings.append(known)
    return findings or [_unknown(evidence)]


def explain(lines: t.Sequence[str]) -> Finding | None:
    """Return the finding of the first rule that one of the lines proves, the first line that does so as evidence."""
    for rule in _RULES:
        for line in lines:
            proof = re.search(rule.pattern, line, re.IGNORECASE)
            if proof:
                return Finding(rule.cause, _shown(line, proof), rule.fix)
    return None


def report(evidence: t.Sequence[Evidence]) -> str:
    """Return the text a person reads when services did not become ready."""
    parts = []
    for item in evidence:
        parts.append(f"{item.service}: {item.verdict}")
        for finding in diagnose(item):
            parts += [f"  cause: {finding.cause}", f"  evidence: {finding.evidence}", f"  fix: {finding.fix}"]
        facts = f"{item.state}, exit code {item.exit_code}, {item.restart_count} restarts"
        parts.append(f"  container {item.container or '(none)'}: {facts}")
        if item.probes:
            parts.append(f"  last probe: {item.probes[-1]}")
        if item.log:
            parts.append("  log:")
            parts += [f"    {line}" for line in item.log.splitlines()[-10:]]
    return "\n".join(parts)


def as_result(evidence: Evidence) -> dict[str, t.Any]:
    """Return the evidence with its findings as plain data for a module's result."""
    return {**asdict(evidence), "findings": [asdict(finding) for finding in diagnose(evidence)]}


def _shown(line: str, proof: re.Match[str]) -> str:
    begin = 0 if proof.end() <= _LONGEST_EVIDENCE else max(proof.start() - _LEAD, 0)
    end = begin + _LONGEST_EVIDENCE
    return line[begin:end].strip()


def _unknown(evidence: Evidence) -> Finding:
    last = next((line for line in reversed(evidence.log.splitlines()) if line.strip()), "")
    if not last and not evidence.probes:
        return Finding(
            "The container wrote nothing before it failed.",
            f"{evidence.state}, exit code {evidence.exit_code}",
            f"Start it by hand: `docker compose run --rm {evidence.service}`.",
        )
    failed = next((probe for probe in reversed(evidence.probes) if not probe.startswith("exit 0:")), "")
    sick = "unhealthy" in evidence.verdict or "(starting)" in evidence.state
    proof = failed if sick and failed else last or evidence.probes[-1]
    return Finding(
        "No known pattern matches.",
        proof[:_LONGEST_EVIDENCE],
        f"Read the log: `docker compose logs {evidence.service}`.",
    )
