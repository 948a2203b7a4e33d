# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests lost while something is deployed: ours beside what people use today, under the same load, in one run.

The load goes through the edge over TLS: four times hey (GET and POST, with and without keep-alive, all at once) and,
because hey cannot tell when a request was lost and repeats some by itself, the same four streams from `load.py`, with
a request of 10 s in flight at any time. An answer other than 200 counts as lost, and so does one that never comes.
Applications boot in 3 s, stop as uvicorn does and have a healthcheck that looks every 0.5 s while they start. nginx is
ours in every case, with the directives of the role nginx_proxy. What each tool is given beyond that:

compose   `docker compose up -d --wait`; nginx resolves `backend` every second (`server backend:8000 resolve`), tries
          another container when one refuses, and is reloaded (never recreated) after a change of its files; no
          `depends_on` of nginx, for which Compose 2.26 would stop it whenever the backend is recreated
module    community.docker's docker_compose_v2 with `wait: true`, the same project
swarm     `docker stack deploy --detach=false`, start-first, rolled back when a release fails; `endpoint_mode: dnsrr`,
          which lists healthy tasks alone, and a port in host mode, as virtual IPs need a kernel with IPVS
ours      compose_up with the edge and one probe of /version; the label that rolls a service although it writes to a
          directory of the host, in which its POST are counted

Modules run without Ansible's own start. After a bad release the old one is brought back when the load has ended: what
is lost until then is part of the result, and an outage that lasted to the end has a `+`. `slow` is more than 3 times
the quiet p99 of the same tool + 100 ms. Ends with 1 if ours breaks a promise.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import csv
import itertools
import json
import math
import os
import ssl
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tools

FILES = Path(__file__).with_name("deploy_loss")
PORT = 18443
NAME = "shop.test"
STOP_GRACE = 15
STABLE_FOR = 5
DRAIN_TIMEOUT = 30

LEAD_SECONDS = 3.0
"""Load before the first step; long enough for a slow request to be in flight."""
HEY_WORKERS = 6
HEY_RATE = 10
"""Requests a second of each worker of each of the four hey."""
OWN_RATE = 15
"""Requests a second of each of the four streams of load.py."""
HEY_STREAMS = {
    "GET keep-alive": [],
    "GET close": ["-disable-keepalive"],
    "POST keep-alive": ["-m", "POST", "-d", '{"item": 1}'],
    "POST close": ["-m", "POST", "-d", '{"item": 1}', "-disable-keepalive"],
}

MIN_SENT = 8000
SLOWER_FACTOR, SLOWER_SECONDS = 3, 0.1
MAX_SWITCH_SECONDS = 1.0
KEEPALIVE_MIN_TIMEOUT = 2.0
"""How long nginx's old workers still answer on kept connections after a reload: a part of the drain."""
MAX_BEYOND_BOOT_SECONDS = 3.0


@dataclass(frozen=True)
class Release:
    """What is declared of the service `backend`."""

    version: int = 1
    behaviour: str = "good"
    replicas: int = 1


@dataclass(frozen=True)
class Site:
    """A project on disk, as it is handed to a tool."""

    name: str
    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "tls" / "fullchain.pem"

    def declare(self, release: Release) -> None:
        """Write compose.yaml; JSON is YAML."""
        model = {"name": self.name, "services": self.services(release)}
        (self.directory / "compose.yaml").write_text(json.dumps(model, indent=1), encoding="utf-8")
        (self.directory / "release.json").write_text(json.dumps(asdict(release)), encoding="utf-8")

    @property
    def declared(self) -> Release:
        return Release(**json.loads((self.directory / "release.json").read_text(encoding="utf-8")))

    def services(self, release: Release) -> dict[str, t.Any]:
        """Return the services as Compose knows them."""
        probe = "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"
        pace = {"interval": "2s", "timeout": "3s", "retries": 2, "start_period": "8s", "start_interval": "500ms"}
        backend = {
            "image": tools.newest_image("shipshape/python"),
            "command": ["python3", "/app/app.py"],
            "environment": {"VERSION": str(release.version), "BEHAVIOUR": release.behaviour},
            "volumes": [f"{FILES / 'app.py'}:/app/app.py:ro", f"{self.directory / 'state'}:/state"],
            "labels": {"shipshape.stack.strategy": "rolling"},
            "stop_grace_period": f"{STOP_GRACE}s",
            "restart": "unless-stopped",
            "deploy": {"replicas": release.replicas},
            "healthcheck": {"test": ["CMD", "python3", "-S", "-c", probe], **pace},
        }
        nginx = {
            "image": tools.newest_image("shipshape/nginx"),
            "command": ["nginx", "-e", "stderr", "-c", "/etc/nginx/stack/nginx.conf", "-g", "daemon off;"],
            "volumes": [
                f"{self.directory / 'nginx'}:/etc/nginx/stack:ro",
                f"{self.directory / 'tls'}:/etc/nginx/tls:ro",
            ],
            "ports": [f"127.0.0.1:{PORT}:8443"],
            "restart": "unless-stopped",
        }
        return {"backend": backend, "nginx": nginx}

    def change_config(self, directory: Path, value: int) -> None:
        """Write nginx.conf with another value of the header X-Config."""
        text = (FILES / "nginx.conf").read_text(encoding="utf-8").replace('X-Config "1"', f'X-Config "{value}"')
        (directory / "nginx.conf").write_text(text, encoding="utf-8")

    def change_certificate(self) -> None:
        """Have another certificate, of the same key and issuer."""
        new, leaf_key = self.directory / "new.pem", str(self.directory / "tls" / "privkey.pem")
        issuer = ["-CA", str(self.ca), "-CAkey", str(self.directory / "ca.key")]
        certify(leaf_key, new, NAME, *issuer, "-addext", f"subjectAltName=DNS:{NAME}")
        new.replace(self.certificate)


def certify(key: str, certificate: Path, name: str, *options: str) -> None:
    """Make a certificate for a key."""
    argv = ["openssl", "req", "-x509", "-key", key, "-out", str(certificate), "-days", "30", "-subj", f"/CN={name}"]
    tools.run([*argv, *options])


@dataclass(frozen=True)
class Tool:
    """One way to deploy: ``deploy`` brings what is declared up, ``reload`` makes changed files of nginx known."""

    name: str
    deploy: t.Callable[[Site], tools.Done]
    reload: t.Callable[[Site], tools.Done]
    remove: t.Callable[[Site], object]
    nginx_source: str = "nginx"
    """The directory, below that of the project, in which a change of the config is made."""


def compose(site: Site) -> tools.Done:
    """`docker compose up -d --wait`."""
    return tools.command(["docker", "compose", "--project-directory", str(site.directory), "up", "-d", "--wait"])


def compose_down(site: Site) -> object:
    """Remove the project."""
    argv = ["docker", "compose", "--project-name", site.name, "down", "--volumes", "--remove-orphans", "--timeout", "0"]
    return tools.command(argv)


def docker_compose_v2(site: Site) -> tools.Done:
    """community.docker's module."""
    arguments = {"project_src": str(site.directory), "state": "present", "wait": True}
    return tools.module("community.docker.docker_compose_v2", arguments)


def ours(site: Site) -> tools.Done:
    """The module of this collection."""
    edge = {
        "service": "nginx",
        "directory": str(site.directory / "nginx"),
        "source": str(site.directory / "declared"),
        "upstreams": {"backend": 8000},
        "certificates": [str(site.directory / "tls")],
        "drain_timeout": f"{DRAIN_TIMEOUT}s",
        "url": f"https://{NAME}",
        "address": f"127.0.0.1:{PORT}",
        "ca": str(site.ca),
    }
    probe = {"path": "/version", "status": 200, "json": {"version": str(site.declared.version)}}
    arguments = {"project_src": str(site.directory), "stable_for": STABLE_FOR, "edge": edge, "probes": [probe]}
    return tools.module("shipshape.stack.compose_up", arguments)


def stack_deploy(site: Site) -> tools.Done:
    """`docker stack deploy`, of the same services in the words of Swarm."""
    services = site.services(site.declared)
    backend, nginx = services["backend"], services["nginx"]
    update = {"order": "start-first", "parallelism": 1, "monitor": "5s"}
    backend["deploy"] |= {
        "endpoint_mode": "dnsrr",
        "update_config": {**update, "failure_action": "rollback"},
        "rollback_config": update,
    }
    nginx["deploy"] = {"endpoint_mode": "dnsrr"}
    nginx["ports"] = [{"target": 8443, "published": PORT, "protocol": "tcp", "mode": "host"}]
    del backend["restart"], nginx["restart"]
    stack = site.directory / "stack.yaml"
    stack.write_text(json.dumps({"version": "3.13", "services": services}, indent=1), encoding="utf-8")
    argv = ["docker", "stack", "deploy", "--detach=false", "--quiet", "--resolve-image", "never", "-c", str(stack)]
    return tools.command([*argv, site.name])


def leave_swarm(site: Site) -> object:
    """Remove the stack and the Swarm of one node."""
    tools.command(["docker", "stack", "rm", "--detach=false", site.name])
    tools.command(["docker", "swarm", "leave", "--force"])
    return tools.command(["docker", "network", "rm", "docker_gwbridge"])


def reload_nginx(label: str) -> t.Callable[[Site], tools.Done]:
    """Return what checks and reloads the config in the nginx container found by a label."""

    def reload(site: Site) -> tools.Done:
        argv = ["docker", "ps", "--quiet", "--filter", f"label={label.format(site.name)}"]
        container = tools.run([*argv]).split()[0]
        nginx = "nginx -e stderr -c /etc/nginx/stack/nginx.conf"
        return tools.command(["docker", "exec", container, "sh", "-c", f"{nginx} -t && {nginx} -s reload"])

    return reload


compose_reload = reload_nginx("com.docker.compose.project={0}")
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("ours", ours, ours, compose_down, "declared"),
        Tool("compose", compose, compose_reload, compose_down),
        Tool("module", docker_compose_v2, compose_reload, compose_down),
        Tool("swarm", stack_deploy, reload_nginx("com.docker.swarm.service.name={0}_nginx"), leave_swarm),
    )
}


@dataclass(frozen=True)
class Answer:
    """What became of a request: when it was due, in seconds of the epoch, and how long it took; lost has a reason."""

    stream: str
    start: float
    seconds: float
    reason: str = ""
    version: str = ""
    container: str = ""

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass
class Result:
    """A row of the table. Times in seconds; ``outage`` is the longest time without a good answer."""

    tool: str
    case: str
    sent: int
    lost: int
    outage: float
    unended: bool
    p50: float
    p99: float
    max: float
    slow: int
    deploy: float
    long_sent: int
    long_answered: int
    exit: str
    serves: str
    posts_twice: int
    reasons: dict[str, int]
    broken: list[str] = field(default_factory=list)


@dataclass
class Load:
    """What is sent while a case runs."""

    site: Site
    seconds: float
    started: float = 0.0
    hey: dict[str, tuple[float, subprocess.Popen[str]]] = field(default_factory=dict)
    own: subprocess.Popen[str] | None = None

    @property
    def hey_requests(self) -> int:
        """How many one hey sends."""
        return HEY_WORKERS * int(HEY_RATE * self.seconds)

    def start(self) -> None:
        """Start all senders."""
        self.started = time.time()
        argv = [sys.executable, str(FILES / "load.py"), str(self.site.ca), str(PORT), str(OWN_RATE), str(self.seconds)]
        self.own = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        for number, (stream, options) in enumerate(HEY_STREAMS.items()):
            # The workers of one hey send together; the four do not.
            time.sleep(0.025 if number else 0)
            argv = ["hey", "-n", str(self.hey_requests), "-c", str(HEY_WORKERS), "-q", str(HEY_RATE), "-t", "15"]
            argv += ["-host", NAME, "-o", "csv", *options, f"https://127.0.0.1:{PORT}/"]
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.hey[stream] = (time.time(), process)

    def answers(self) -> list[Answer]:
        """Wait for the end and return what became of the requests; those hey got no answer to have no moment."""
        assert self.own
        processes = [self.own, *(process for _started, process in self.hey.values())]
        with concurrent.futures.ThreadPoolExecutor(len(processes)) as readers:
            outputs = list(readers.map(lambda process: process.communicate()[0], processes))
        if any(process.returncode for process in processes):
            sys.exit(f"A sender of the load failed: {[process.returncode for process in processes]}")
        found = []
        for line in outputs[0].splitlines():
            found.append(Answer(**json.loads(line)))
        for (stream, (started, _process)), output in zip(self.hey.items(), outputs[1:], strict=True):
            rows = list(csv.DictReader(output.splitlines()))
            for row in rows:
                reason = "" if row["status-code"] == "200" else f"status {row['status-code']}"
                seconds = float(row["response-time"])
                found.append(Answer(f"hey {stream}", started + float(row["offset"]), seconds, reason))
            missing = self.hey_requests - len(rows)
            found += [Answer(f"hey {stream}", math.nan, math.nan, "hey: no answer")] * missing
        return found


@dataclass(frozen=True)
class Case:
    """Something that is deployed; ``steps`` returns what to do, one after the other, each a deploy."""

    name: str
    good: bool
    new: bool
    """Whether another release serves afterwards."""
    steps: t.Callable[[Tool, Site], list[t.Callable[[], tools.Done]]]
    baselines: bool = False
    """Whether the others go through it, too, unless a case was asked for."""
    seconds: float = 28.0


def nothing(_tool: Tool, _site: Site) -> list[t.Callable[[], tools.Done]]:
    """Deploy nothing."""
    return []


def release(behaviour: str) -> t.Callable[[Tool, Site], list[t.Callable[[], tools.Done]]]:
    """Return a case that deploys the next release."""

    def steps(tool: Tool, site: Site) -> list[t.Callable[[], tools.Done]]:
        site.declare(Release(site.declared.version + 1, behaviour))
        return [lambda: tool.deploy(site)]

    return steps


def rollback(tool: Tool, site: Site) -> list[t.Callable[[], tools.Done]]:
    """Deploy the release before."""
    site.declare(Release(site.declared.version - 1))
    return [lambda: tool.deploy(site)]


def scale(tool: Tool, site: Site) -> list[t.Callable[[], tools.Done]]:
    """Have three containers, then one."""

    def to(replicas: int) -> tools.Done:
        site.declare(Release(site.declared.version, replicas=replicas))
        return tool.deploy(site)

    return [lambda: to(3), lambda: to(1)]


def config(tool: Tool, site: Site) -> list[t.Callable[[], tools.Done]]:
    """Change nginx.conf."""
    site.change_config(site.directory / tool.nginx_source, 2)
    return [lambda: tool.reload(site)]


def certificate(tool: Tool, site: Site) -> list[t.Callable[[], tools.Done]]:
    """Have another certificate."""

    def step() -> tools.Done:
        site.change_certificate()
        return tool.reload(site)

    return [step]


CASES = {
    case.name: case
    for case in (
        Case("quiet", True, False, nothing, True),
        Case("good release", True, True, release("good"), True),
        Case("crash loop", False, False, release("crash"), True),
        Case("never healthy", False, False, release("sick"), True),
        Case("dies after 3 s", False, False, release("dies")),
        Case("wrong answer", False, False, release("wrong")),
        Case("rollback", True, True, rollback),
        Case("scale 1-3-1", True, False, scale, True, 34.0),
        Case("config change", True, False, config, True),
        Case("new certificate", True, False, certificate),
    )
}


def percentile(values: t.Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the sorted values do not exceed."""
    return values[min(len(values) - 1, math.ceil(share * len(values)) - 1)] if values else math.nan


def longest_outage(answers: t.Sequence[Answer], start: float, end: float) -> tuple[float, bool]:
    """Return the longest time without a good answer, and whether it lasted to the end."""
    moments = sorted(answer.end for answer in answers if not answer.reason and start < answer.end < end)
    gaps = [(after - before, after) for before, after in itertools.pairwise([start, *moments, end])]
    seconds, until = max(gaps)
    return seconds, until == end and seconds > 1


def fetch(site: Site) -> tuple[str, str, str]:
    """Return the version, the value of X-Config and the certificate that are served; nothing for what is not."""
    context = ssl._create_unverified_context()
    version = header = served = ""
    try:
        served = ssl.get_server_certificate(("127.0.0.1", PORT), timeout=5)
        request = urllib.request.Request(f"https://127.0.0.1:{PORT}/version", headers={"Host": NAME})
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            header = answer.headers["X-Config"]
            version = json.load(answer)["version"]
    except (OSError, ValueError):
        pass
    return version, header, served


def wait_until_served(site: Site) -> None:
    """Wait until the declared version is served, and nothing else; end the benchmark after a minute."""
    end = time.monotonic() + 60
    seen = 0
    while seen < 10:
        if time.monotonic() > end:
            sys.exit(f"{site.name} serves {fetch(site)[0] or 'nothing'} instead of {site.declared.version}")
        seen = seen + 1 if fetch(site)[0] == str(site.declared.version) else 0
        time.sleep(0.2)


def posts(site: Site) -> int:
    """Return how many POST the application has seen."""
    counter = site.directory / "state" / "posts"
    return counter.stat().st_size if counter.exists() else 0


def prepare(tool: Tool, site: Site) -> None:
    """Have one good container of a version of its own, and the first config."""
    site.change_config(site.directory / tool.nginx_source, 1)
    site.declare(Release(site.declared.version + 1))
    done = tool.deploy(site)
    if done.code:
        sys.exit(f"{tool.name} does not bring the good release up:\n{done.output[-5000:]}")
    if tool.deploy is not tool.reload:
        tool.reload(site)
    wait_until_served(site)
    # Containers that were to be removed are gone, and the addresses of those are forgotten.
    time.sleep(2)


@dataclass(frozen=True)
class Observed:
    """What happened while a case ran; moments in seconds of the epoch, events as the Engine told them."""

    answers: list[Answer]
    done: list[tools.Done]
    loaded: float
    began: float
    ended: float
    events: list[str]


def under_load(tool: Tool, site: Site, case: Case) -> Observed:
    """Run the steps of a case while the load goes on."""
    # The Engine remembers 256 events, and each probe of a healthcheck is three: they are read while it runs.
    argv = ["docker", "events", "--filter", f"label=com.docker.compose.project={site.name}", "--format", "{{json .}}"]
    told = site.directory / "events"
    load = Load(site, case.seconds)
    done = []
    with told.open("w", encoding="utf-8") as output:
        watch = subprocess.Popen([*argv, "--filter", "type=container"], stdout=output)
        load.start()
        time.sleep(LEAD_SECONDS)
        steps = case.steps(tool, site)
        began = time.time()
        for number, step in enumerate(steps):
            time.sleep(1 if number else 0)
            done.append(step())
        ended = time.time()
        answers = load.answers()
        watch.terminate()
        watch.wait()
    return Observed(answers, done, load.started, began, ended, told.read_text(encoding="utf-8").splitlines())


def play(tool: Tool, site: Site, case: Case, limit: float) -> Result:
    """Run a case and make its row. ``limit`` is how many seconds an answer may take."""
    prepare(tool, site)
    tools.say(f"{tool.name}: {case.name}")
    before, counted = site.declared, posts(site)
    seen = under_load(tool, site, case)
    version, header, served = fetch(site)

    finish = seen.loaded + case.seconds
    regular = [answer for answer in seen.answers if answer.stream != "slow"]
    times = sorted(answer.seconds for answer in regular if not answer.reason)
    outage, unended = longest_outage(regular, seen.loaded + 0.5, finish)
    lost = [answer for answer in seen.answers if answer.reason]
    long = [answer for answer in seen.answers if answer.stream == "slow"]
    posted = sum("POST" in answer.stream for answer in regular)
    names = {str(site.declared.version): "new" if case.good else "bad", str(before.version): "old", "": "nothing"}
    result = Result(
        tool=tool.name,
        case=case.name,
        sent=len(seen.answers),
        lost=len(lost),
        outage=outage,
        unended=unended,
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        max=times[-1] if times else math.nan,
        slow=sum(seconds > limit for seconds in times),
        deploy=seen.ended - seen.began if seen.done else 0.0,
        long_sent=len(long),
        long_answered=sum(not answer.reason for answer in long),
        exit=",".join(str(item.code) for item in seen.done),
        serves=names.get(version, version),
        posts_twice=max(0, posts(site) - counted - posted),
        reasons=dict(collections.Counter(answer.reason for answer in lost)),
    )
    if seen.ended > finish - 1:
        result.broken.append("the load ended before the deploy did")
    result.broken += check(case, result, seen.done, limit)
    containers = {answer.container for answer in seen.answers if not answer.reason and answer.container}
    if case.name.startswith("scale") and len(containers) < 3:
        result.broken.append(f"only {len(containers)} containers answered")
    if case.name == "config change" and header != "2":
        result.broken.append("the changed config is not in effect")
    if case.name == "new certificate" and served.split() != site.certificate.read_text(encoding="utf-8").split():
        result.broken.append("the new certificate is not in effect")
    if tool.name == "ours" and case.new:
        result.broken += check_overhead(seen, str(before.version))
    return result


def check(case: Case, result: Result, done: t.Sequence[tools.Done], limit: float) -> list[str]:
    """Return the promises a case breaks."""
    broken = []
    if result.sent < MIN_SENT:
        broken.append(f"{result.sent} requests were sent, at least {MIN_SENT} are needed to say anything")
    if result.lost:
        broken.append(f"{result.lost} of {result.sent} requests were lost: {result.reasons}")
    if result.slow and done:
        broken.append(f"{result.slow} answers took longer than {limit * 1000:.0f} ms")
    if result.posts_twice:
        broken.append(f"{result.posts_twice} POST reached the application twice")
    failed = any(item.code for item in done)
    if case.good and failed:
        broken.append(f"the deploy failed: {next(item.output for item in done if item.code)[-3000:]}")
    if not case.good and not failed:
        broken.append("the deploy of a bad release did not fail")
    if result.serves != ("new" if case.new else "old"):
        broken.append(f"at the end the site serves: {result.serves}")
    return broken


def check_overhead(seen: Observed, old: str) -> list[str]:
    """Return the promises on the time of a rollout that are broken; print what was measured.

    The Engine's events say when the new container was started and ready, the answers when nothing but it was asked.
    """
    moments: dict[str, float] = {}
    for event in map(json.loads, seen.events):
        if event["Actor"]["Attributes"].get("com.docker.compose.service") == "backend":
            moments.setdefault(event["Action"], event["timeNano"] / 1e9)
    missing = {"start", "health_status: healthy"} - moments.keys()
    if missing:
        return [f"the Engine told no event {', '.join(sorted(missing))} of the new container"]
    ready, boot = moments["health_status: healthy"], moments["health_status: healthy"] - moments["start"]
    good = [answer for answer in seen.answers if answer.version and not answer.reason]
    new = [answer.end for answer in good if answer.version != old]
    asked = [answer.start for answer in good if answer.version == old and answer.stream != "slow"]
    if not new:
        return ["no answer came from the new release"]
    switch, settled = min(new) - ready, max(asked) - ready
    drain = max(answer.end for answer in good if answer.version == old) - min(new)
    beyond = seen.ended - seen.began - boot - max(drain, STABLE_FOR)
    tools.say(
        f"boot {boot:.2f} s, then {switch:.2f} s to the first answer of the new release, {settled:.2f} s to the last"
        f" request that the old one was asked; its last answer {drain:.2f} s after the switch;"
        f" {beyond:.2f} s for all else"
    )
    broken = []
    if switch > MAX_SWITCH_SECONDS:
        broken.append(f"the switch came {switch:.2f} s after the container was ready, promised {MAX_SWITCH_SECONDS:g}")
    if settled > MAX_SWITCH_SECONDS + KEEPALIVE_MIN_TIMEOUT:
        broken.append(f"the old release was still asked {settled:.2f} s after the new one was ready")
    if beyond > MAX_BEYOND_BOOT_SECONDS:
        broken.append(f"the deploy took {beyond:.2f} s beyond boot and drain, promised {MAX_BEYOND_BOOT_SECONDS:g}")
    return broken


HEADER = (
    f"{'case':<16}{'tool':<9}{'sent':>6}{'lost':>6}{'outage s':>10}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}"
    f"{'slow':>6}{'deploy s':>10}{'10 s req.':>11}{'exit':>7}  serves"
)


def row(result: Result) -> str:
    """Return a row of the table."""
    outage = f"{result.outage:.2f}{'+' if result.unended else ' '}"
    times = "".join(f"{value * 1000:>8.0f}" for value in (result.p50, result.p99, result.max))
    long = f"{result.long_answered}/{result.long_sent}"
    left = f"{result.case:<16}{result.tool:<9}{result.sent:>6}{result.lost:>6}{outage:>10}{times}{result.slow:>6}"
    return f"{left}{result.deploy:>10.1f}{long:>11}{result.exit or '-':>7}  {result.serves}"


def new_site(directory: Path, tool: Tool) -> Site:
    """Write all files of a project."""
    site = Site(f"shipshape-bench-{tool.name}", directory)
    for name in ("nginx/servers", "declared", "tls", "state"):
        (directory / name).mkdir(parents=True)
    # Containers have users of their own.
    directory.chmod(0o755)
    (directory / "state").chmod(0o777)
    ca_key, key = directory / "ca.key", directory / "tls" / "privkey.pem"
    for path in (ca_key, key):
        tools.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)])
    key.chmod(0o644)
    certify(str(ca_key), site.ca, "a CA of the benchmark")
    site.change_certificate()
    for name in dict.fromkeys(("nginx", tool.nginx_source)):
        site.change_config(directory / name, 1)
    (directory / "nginx/servers/backend.conf").write_text(
        "server backend:8000 resolve max_fails=1 fail_timeout=1s;\n", encoding="utf-8"
    )
    site.declare(Release())
    return site


def measure(tool: Tool, cases: t.Sequence[Case]) -> list[Result]:
    """Bring a site up with a tool and run the cases on it."""
    with tempfile.TemporaryDirectory(prefix="shipshape-bench-") as scratch:
        site = new_site(Path(scratch), tool)
        if tool.name == "swarm":
            tools.run(["docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"])
        try:
            results = [play(tool, site, CASES["quiet"], math.inf)]
            limit = results[0].p99 * SLOWER_FACTOR + SLOWER_SECONDS
            results += [play(tool, site, case, limit) for case in cases if case.name != "quiet"]
            for result in results:
                tools.say(f"{result.tool}, {result.case}: {'; '.join(result.broken) or 'all promises are kept'}")
            return results
        finally:
            tool.remove(site)


def refuse_swarm() -> str:
    """Return why the Swarm cannot be measured on this machine's Engine, or an empty string."""
    if tools.run(["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"]).strip() != "inactive":
        return "This machine is in a Swarm.\nFix: leave it, or name the other tools with --tool."
    running = tools.run(["docker", "ps", "--format", "{{.Names}}"]).split()
    if running:
        return (
            "Containers run here, and an Engine that leaves a Swarm forgets the names of all: they no longer find each"
            f" other.\nThey are: {', '.join(running)}\nFix: stop them, or name the other tools with --tool."
        )
    return ""


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Requests lost while something is deployed.")
    parser.add_argument("--tool", action="append", choices=list(TOOLS), help="only this one; may be repeated")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one and quiet; may be repeated")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark."""
    options = arguments()
    names = options.tool or list(TOOLS)
    if "swarm" in names and (reason := refuse_swarm()):
        sys.exit(reason)
    busy = os.getloadavg()[0]
    if busy > 1:
        tools.say(f"the load average is {busy:.1f} before anything was started: times will be those of a busy machine")
    results: list[Result] = []
    for name in names:
        wanted = [case for case in CASES.values() if case.baselines or name == "ours"]
        cases = [CASES[case] for case in options.case] if options.case else wanted
        results += measure(TOOLS[name], cases)
    print(f"\n{HEADER}")
    for case in CASES:
        print("".join(f"{row(result)}\n" for result in results if result.case == case), end="")
    print(
        "\nlost: every answer but 200; slow: beyond 3 times the tool's quiet p99 + 100 ms; +: until the load ended;"
        "\ndeploy s: from the first step to the end of the last; 10 s req.: answered of those sent"
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")
    broken = [(result.case, problem) for result in results if result.tool == "ours" for problem in result.broken]
    for case, problem in broken:
        print(f"BROKEN {case}: {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
