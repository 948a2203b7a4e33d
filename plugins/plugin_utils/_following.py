# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show what a module says while it runs.

The module runs as any other does. Beside it a thread, on a connection of its own, reads the file of `_progress` on the
host: one command waits there for lines and returns with them.
"""

from __future__ import annotations

import contextvars
import copy
import io
import secrets
import shlex
import sys
import threading
import typing as t
from dataclasses import dataclass

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

# Seconds before the first look: a module with nothing to do has ended by then.
GRACE = 0.7
# Looks of one command at the file, 0.2 s apart.
LOOKS = 50
# Seconds between commands that fail.
PAUSE = 10
# Seconds the last command may take once the module has ended.
LAST = 15
# How a shell reports SIGKILL and SIGTERM, and how Python does.
KILLED = {137: "SIGKILL", -9: "SIGKILL", 143: "SIGTERM", -15: "SIGTERM"}
HEADER = "shipshape-progress"
# The directory "$file.over" says that the module has ended: mkdir follows no symbolic link. -O asks whether the file
# is the user's own, since /tmp is everyone's.
SCRIPT = """\
file={file} at={at} looks={looks}
while :; do
  over=0 size=0
  if [ "$looks" = 0 ] || [ -d "$file.over" ]; then over=1; fi
  if [ -O "$file" ] && ! [ -L "$file" ]; then size=$(wc -c < "$file"); fi
  if [ "$over" = 1 ] || [ "$size" -gt "$at" ]; then break; fi
  looks=$((looks - 1))
  if [ "$looks" = 0 ]; then break; fi
  sleep 0.2 || sleep 1
done 2> /dev/null
echo "{header}" $((size)) "$over"
if [ "$size" -gt "$at" ]; then tail -c +$((at + 1)) "$file" | head -c $((size - at)); fi
if [ "$over" = 1 ]; then rm -f "$file"; rmdir "$file.over" 2> /dev/null; fi
true"""


@dataclass(frozen=True)
class Reply:
    """Whole lines that are new, the offset in bytes behind them, and whether the file is done with and gone."""

    lines: tuple[str, ...]
    at: int
    over: bool


def command(file: str, at: int, looks: int) -> str:
    """Return the shell command that waits for lines behind the offset ``at``; with 0 looks it reads and cleans up."""
    return SCRIPT.format(file=shlex.quote(file), at=at, looks=looks, header=HEADER)


def parse(output: str, at: int) -> Reply:
    """Read what the command for the offset ``at`` printed. Raises ValueError when that is not its output."""
    # A terminal, which ssh asks for, turns line feeds into two characters, and a shell's profile may print, too.
    _noise, _header, rest = output.replace("\r\n", "\n").partition(f"{HEADER} ")
    head, _newline, body = rest.partition("\n")
    size, over = (int(word) for word in head.split())
    data = body.encode("utf-8", "surrogateescape")[: max(size - at, 0)]
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.decode("utf-8", "replace").split("\n")[:-1]
    return Reply(tuple(lines), at + len(whole), over == 1)


class Follower:
    """A thread that shows the lines of a file on the host until it is told that the module has ended."""

    def __init__(self, file: str, execute: t.Callable[[str], str], show: t.Callable[[str], None]) -> None:
        self._file, self._execute, self._show = file, execute, show
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._waits = False
        # Ansible keeps the context of a task in context variables, which a thread does not inherit.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)

    def start(self) -> None:
        """Begin, after a moment."""
        self._thread.start()

    def end(self, execute: t.Callable[[str], str]) -> None:
        """Show the last lines and remove the file. ``execute`` interrupts a command that waits."""
        with self._turn:
            self._ended.set()
            interrupt = self._waits
        if interrupt:
            # What cannot be interrupted ends with its last look.
            _output_or_nothing(execute, f"mkdir {shlex.quote(self._file)}.over")
        self._thread.join(LAST)

    def _run(self) -> None:
        at, over = 0, False
        self._ended.wait(GRACE)
        while not over:
            with self._turn:
                last = self._ended.is_set()
                self._waits = not last
            output = _output_or_nothing(self._execute, command(self._file, at, 0 if last else LOOKS))
            try:
                reply = parse(output, at)
            except ValueError:
                if last:
                    return
                self._ended.wait(PAUSE)
                continue
            for line in reply.lines:
                self._show(line)
            at, over = reply.at, reply.over


def _output_or_nothing(execute: t.Callable[[str], str], text: str) -> str:
    """Return what a command printed. Whatever goes wrong with it must not disturb the module."""
    try:
        return execute(text)
    except Exception:  # pylint: disable=broad-exception-caught
        return ""


class FollowedModule(ActionBase):  # type: ignore[misc]
    """Run the module of the same name and show its progress on standard error; the result is the module's own."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        if self._is_followed():
            result = merge_hash(result, self._follow(task_vars))
        else:
            result = merge_hash(result, self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _is_followed(self) -> bool:
        plain = (
            self._task.async_val or self._task.check_mode or self._task.no_log or self._task.args.get("progress_file")
        )
        return not plain and getattr(self._connection._shell, "SHELL_FAMILY", "") == "sh"

    def _follow(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        file = f"/tmp/shipshape-{secrets.token_hex(16)}"
        prefix = label(task_vars)
        last = [""]

        def show(line: str) -> None:
            last[0] = line
            Display().display(f"{prefix}{line}", stderr=True)

        follower = Follower(file, _executor(self._on_a_second_connection()), show)
        arguments = {**self._task.args, "progress_file": file}
        follower.start()
        lost: AnsibleConnectionFailure | None = None
        result: dict[str, t.Any] = {}
        try:
            result = self._execute_module(module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            lost = error
        finally:
            follower.end(_executor(self))
        if lost is not None:
            # ssh reports a remote process that was killed as it reports a connection that broke: does the host answer?
            if not _output_or_nothing(_executor(self), "echo here").strip().endswith("here"):
                raise lost
            return {"failed": True, **killed(self._task.action, str(lost), last[0]).result()}
        if "module_stdout" in result and result.get("rc") in KILLED:
            signal = f"Its process ended with {KILLED[result['rc']]}."
            return {"failed": True, "rc": result["rc"], **killed(self._task.action, signal, last[0]).result()}
        if "module_args" in result.get("invocation", {}):
            result["invocation"]["module_args"]["progress_file"] = None
        return result

    def _on_a_second_connection(self) -> FollowedModule:
        """Return a copy to run commands with. Connection and become plugin keep what belongs to one command in them."""
        other = copy.copy(self)
        other._connection = copy.copy(self._connection)
        other._connection.become = copy.copy(self._connection.become)
        return other


def _executor(action: ActionBase) -> t.Callable[[str], str]:
    return lambda text: t.cast("str", action._low_level_execute_command(text)["stdout"])


def label(task_vars: t.Mapping[str, t.Any]) -> str:
    """Return what stands before each line: the host, where the play has several."""
    several = len(task_vars.get("ansible_play_hosts_all") or ()) > 1
    return f"  [{task_vars.get('inventory_hostname')}] " if several else "  "


def killed(action: str, evidence: str, last: str) -> StackError:
    """Return the error of a module that left no result; ``last`` is the last line it said."""
    return StackError(
        f"{action.rpartition('.')[2]} was killed on the host before it could tell how it ended.",
        evidence=f"{evidence}\nThe last it said was: {last}" if last else evidence,
        fix="Look for the out-of-memory killer in `journalctl --dmesg`; once the cause is gone, run the play again.",
    )


def show_at_once() -> None:
    """Let standard output of `ansible-playbook` go out line by line, in order with the progress, in a pipe, too."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


# Ansible loads the action plugin in its main process before it prints the task's name; what runs later is a fork.
show_at_once()
