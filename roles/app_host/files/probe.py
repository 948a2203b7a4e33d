# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as JSON, the account and the directories of a stack. Arguments: user, root, names below the root."""

from __future__ import annotations

import grp
import json
import pwd
import stat
import sys
from pathlib import Path


def account(name: str) -> dict[str, str | list[str]]:
    """Return home, shell and further groups of the account ``name``; nothing if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {}
    groups = [group.gr_name for group in grp.getgrall() if name in group.gr_mem]
    return {"home": entry.pw_dir, "shell": entry.pw_shell, "groups": groups}


def owner_and_mode(path: Path) -> str:
    """Return ``owner:group mode`` of a directory (``shop:shop 0750``); nothing if ``path`` is not one."""
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return ""
        return f"{path.owner()}:{path.group()} {stat.S_IMODE(found.st_mode):04o}"
    except (FileNotFoundError, KeyError):
        return ""


def main() -> None:
    """Look, and print."""
    user, root, *names = sys.argv[1:]
    ids = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    directories = {name: owner_and_mode(Path(root, name)) for name in names}
    print(json.dumps({"account": account(user), "ids": sorted(ids), "directories": directories}))


main()
