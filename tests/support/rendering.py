# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declaration to the files it becomes on a host, by the tasks of site.yml themselves.

Ansible loads the playbook with its roles and the inventory a user would write, merges the variables by its own
precedence, and templates the arguments of the task that would write the files. Only the task is not run.
"""

from __future__ import annotations

import functools
import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import action_loader, connection_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.manager import VariableManager
from declarations import Declaration

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "server"
# What the modules of a deploy would have returned.
RELEASE = {"id": "20260102T030405Z-0123abcd"}
CONTAINERS = [
    {"service": "backend", "health": "healthy", "state": "running", "cpus": 1.0, "memory": 512, "image": "app:1"},
    {"service": "helper", "health": "none", "state": "exited", "cpus": 0.5, "memory": 64, "image": "helper:1"},
]


@dataclass(frozen=True, eq=False)
class Rendered:
    """What a declaration becomes: content by path below ``project/`` and ``nginx/`` of the stack's directory.

    ``binary`` is content in Base64, of files below ``project/`` too.
    """

    declaration: Declaration
    model: dict[str, t.Any]
    project: dict[str, str]
    binary: dict[str, str]
    edge: dict[str, str]
    summary: list[str]

    @property
    def dockerfiles(self) -> dict[str, str]:
        """Return the rendered Dockerfiles by name."""
        return {name: text for name, text in self.project.items() if name.endswith(".Dockerfile")}


class Controller:
    """Ansible as it stands before the tasks of site.yml, with one host in its inventory."""

    def __init__(self, variables: t.Mapping[str, t.Any], directory: Path) -> None:
        inventory = directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {HOST: {}}, "vars": dict(variables)}}))
        self._loader, self._play = site()
        self._inventory = InventoryManager(self._loader, sources=[str(inventory)])
        self._variables = VariableManager(self._loader, self._inventory)

    def register(self, **values: t.Any) -> None:
        """Make what tasks registered known to the tasks after them."""
        self._variables.set_nonpersistent_facts(HOST, values)

    def template(self, task: Task, value: t.Any) -> t.Any:
        """Template ``value`` as if it stood in ``task``."""
        host = self._inventory.get_host(HOST)
        variables = self._variables.get_vars(play=self._play, host=host, task=task)
        variables["ansible_search_path"] = task.get_search_path()
        return Templar(loader=self._loader, variables=variables).template(value)

    def declare(self) -> dict[str, t.Any]:
        """Run the action that validates and completes the declaration, and register its result."""
        task = task_of("shipshape.stack.declaration")
        this = task.copy()
        this.args = self.template(task, task.args)
        context = PlayContext()
        action = action_loader.get(
            "shipshape.stack.declaration",
            task=this,
            connection=connection_loader.get("ansible.builtin.local", context),
            play_context=context,
            loader=self._loader,
            templar=Templar(loader=self._loader),
            shared_loader_obj=None,
        )
        model: dict[str, t.Any] = action.run(task_vars={})
        self.register(stack_model=model)
        return model

    def arguments(self, action: str) -> dict[str, t.Any]:
        """Return the arguments the task with this action would be run with."""
        task = task_of(action)
        arguments: dict[str, t.Any] = self.template(task, task.args)
        return arguments


def render_declaration(
    declaration: Declaration, directory: Path, images: t.Mapping[str, str] | None = None
) -> Rendered:
    """Render all a declaration needs on a host.

    ``directory`` is an empty one; the source of the stack is made below it. ``images`` are references of base images,
    only the ones the stack asks for are handed on. Raises AnsibleActionFail for a declaration that is not valid.
    """
    source = declaration.make_source(directory)
    controller = Controller({"stack_source": str(source), **declaration.variables}, directory)
    model = controller.declare()
    wanted = controller.template(task_of("shipshape.stack.base_images"), trust_as_template("{{ base_images_wanted }}"))
    references = {name: (images or {}).get(name) or f"shipshape/{name}:trixie-0123456789ab" for name in wanted}
    controller.register(base_images_resolved={"images": references})
    controller.register(stack_deploy_status={"settled": True, "id": RELEASE["id"], "containers": CONTAINERS})
    project = controller.arguments("shipshape.stack.file_tree")
    summary = task_of("ansible.builtin.debug", name="Show what runs")
    return Rendered(
        declaration,
        model,
        project=project["files"],
        binary=project.get("binary_files", {}),
        # The condition of the role in site.yml.
        edge=controller.arguments("shipshape.stack.nginx_config")["files"] if "nginx" in model["services"] else {},
        summary=controller.template(summary, summary.args["msg"]),
    )


def render_newer_suite(directory: Path, mirrors: t.Sequence[str], **variables: t.Any) -> str:
    """Render the apt source of a newer suite for a host with these ``mirrors`` (lines of ``label URI``)."""
    controller = Controller(variables, directory)
    controller.register(docker_engine_mirrors={"stdout_lines": list(mirrors)})
    # An included file: its tasks are not there before the play runs.
    task = task_of("ansible.builtin.include_tasks", role="docker_engine")
    lookup = trust_as_template("{{ lookup('ansible.builtin.template', 'docker-newer-suite.sources.j2') }}")
    return str(controller.template(task, lookup))


def chosen_services(declaration: Declaration, directory: Path, given: t.Any) -> tuple[list[str], bool]:
    """Return which services a deploy brings up for a value of ``stack_deploy_services``, and whether it migrates."""
    source = declaration.make_source(directory)
    variables = {"stack_source": str(source), **declaration.variables, "stack_deploy_services": given}
    controller = Controller(variables, directory)
    controller.declare()
    task = task_of("shipshape.stack.deploy_status")
    only, migrates = (trust_as_template(f"{{{{ stack_deploy_{name} }}}}") for name in ("only", "migrates"))
    return controller.template(task, only), controller.template(task, migrates)


@functools.cache
def site() -> tuple[DataLoader, Play]:
    """Load site.yml once; it knows no host yet."""
    loader = DataLoader()
    variables = VariableManager(loader, InventoryManager(loader, sources="localhost,"))
    playbook = Playbook.load(str(REPOSITORY / "playbooks/site.yml"), variable_manager=variables, loader=loader)
    [play] = playbook.get_plays()
    return loader, play


@functools.cache
def task_of(action: str, *, name: str = "", role: str = "") -> Task:
    """Return the first task with this action, and this name or in this role."""
    return next(
        task
        for task in _tasks(site()[1].compile())
        if task.action == action and name in ("", task.name) and role in ("", task._role and task._role._role_name)
    )


def _tasks(items: t.Iterable[Block | Task]) -> t.Iterator[Task]:
    for item in items:
        if isinstance(item, Block):
            yield from _tasks([*item.block, *item.rescue, *item.always])
        else:
            yield item
