# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests through the edge after the switch: the release has to answer as its users expect."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Probe:
    """A request and what its answer has to be.

    ``body`` is a regular expression searched for, ``json`` maps dotted keys to values, ``max_seconds`` is the ceiling
    for the whole answer.
    """

    path: str
    status: int = 200
    body: str = ""
    json: t.Mapping[str, t.Any] = field(default_factory=dict)
    headers: t.Mapping[str, str] = field(default_factory=dict)
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what could only fail, before anything is touched."""
        try:
            re.compile(self.body)
        except re.error as error:
            raise StackError(
                f"{self.body!r} is no regular expression.", evidence=str(error), fix="Correct `body` of the probe."
            ) from error
        if not self.path.startswith("/"):
            raise StackError(f"The probe's path {self.path!r} does not begin with a slash.", fix=f"Write /{self.path}")


@dataclass(frozen=True)
class Site:
    """Where the probes go: ``url`` as users write it, ``address`` (host:port) to connect to, ``ca`` to trust."""

    url: str
    address: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        """Refuse what could only fail, before anything is touched."""
        for text, kind in ((self.url, "URL"), (f"http://{self.address}" if self.address else self.url, "address")):
            try:
                parts = urlsplit(text)
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise StackError(
                    f"{text!r} is no {kind} for probes.", fix="Use https://shop.example.com and host:port."
                )


def run(site: Site, probes: t.Sequence[Probe]) -> None:
    """Ask the site; raise StackError at the first answer that is not as it has to be."""
    for probe in probes:
        started = time.monotonic()
        try:
            status, body = _ask(site, probe)
        except (OSError, http.client.HTTPException) as error:
            raise _failed(site, probe, f"no answer: {error}") from error
        seconds = time.monotonic() - started
        complaint = judge(probe, status, body, seconds)
        if complaint:
            raise _failed(site, probe, complaint, body)


def judge(probe: Probe, status: int, body: str, seconds: float) -> str:
    """Return what is wrong with an answer, or an empty string."""
    if status != probe.status:
        return f"status {status}, expected {probe.status}"
    if seconds > probe.max_seconds:
        return f"took {seconds:.2f} s, allowed are {probe.max_seconds:g} s"
    if probe.body and not re.search(probe.body, body):
        return f"the body does not match {probe.body!r}"
    if not probe.json:
        return ""
    try:
        document = json.loads(body)
    except ValueError:
        return "the body is not JSON"
    for key, expected in probe.json.items():
        found = _value(document, key)
        if found != expected:
            return f"{key} is {json.dumps(found)}, expected {json.dumps(expected)}"
    return ""


def _value(document: t.Any, key: str) -> t.Any:
    for part in key.split("."):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def _ask(site: Site, probe: Probe) -> tuple[int, str]:
    url = urlsplit(site.url)
    secure = url.scheme == "https"
    host = url.hostname or ""
    place = urlsplit(f"//{site.address}") if site.address else url
    port = place.port or url.port or (443 if secure else 80)
    deadline = time.monotonic() + probe.max_seconds
    connection = http.client.HTTPConnection(host, port, timeout=probe.max_seconds)
    sock = socket.create_connection((place.hostname or "", port), timeout=probe.max_seconds)
    if secure:
        try:
            context = ssl.create_default_context(cafile=site.ca or None)
            # Python 3.13 asks more of a certificate than browsers do; many a company's CA names no key identifiers.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            sock = context.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
    connection.sock = sock
    try:
        connection.request("GET", url.path.rstrip("/") + probe.path, headers={"Host": url.netloc, **probe.headers})
        answer = connection.getresponse()
        body = b""
        # A stream that never ends sends something all the time: the timeout of the socket does not see it.
        while len(body) < BODY_LIMIT and (part := answer.read1(BODY_LIMIT - len(body))):
            body += part
            if time.monotonic() > deadline:
                raise TimeoutError(f"the answer did not end within {probe.max_seconds:g} s")
        return answer.status, body.decode(errors="replace")
    finally:
        connection.close()


def _failed(site: Site, probe: Probe, complaint: str, body: str = "") -> StackError:
    return StackError(
        f"The new release does not answer as it has to: GET {site.url.rstrip('/')}{probe.path}: {complaint}.",
        evidence=body[:500],
        fix="Correct the release, or the probe if it expects the wrong thing.",
    )
