"""How a server that refuses to run as root is run by root nevertheless, without adding a user to the system."""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# Numbers of the Linux ABI: sched.h, capability.h, prctl.h.
_CLONE_NEWUSER = 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a server runs as: `prepare` makes the forked child that user; `owner` must own its files."""

    prepare: Callable[[], None] | None = None
    owner: tuple[int, int] | None = None

    def take_tree(self, folder: Path) -> None:
        """Make the server's user the owner of `folder` and everything in it."""
        if self.owner is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, *self.owner)


@cache
def default_identity() -> Identity:
    """This user; for root, root under the number 1000 in a user namespace, and where that is forbidden `nobody`."""
    if os.geteuid() != 0:
        return Identity()
    return Identity(prepare=enter_namespace) if _works(enter_namespace) else nobody()


def nobody() -> Identity:
    """The user `nobody`, who may still enter folders that only root can (a checkout below /root)."""
    user = pwd.getpwnam("nobody")

    def become() -> None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        _keep_folder_access(user.pw_uid)

    return Identity(prepare=become, owner=(user.pw_uid, user.pw_gid))


def enter_namespace() -> None:
    """Move this process into a user namespace where its user has the number 1000, not 0 (user_namespaces(7))."""
    if _LIBC is None or _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) failed")
    # The kernel accepts a group map of an unprivileged process only once setgroups is denied.
    for name, text in (("setgroups", "deny"), ("gid_map", "1000 0 1"), ("uid_map", "1000 0 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def _keep_folder_access(uid: int) -> None:
    """Become `uid`, keeping CAP_DAC_OVERRIDE over the exec where this process has it (capabilities(7))."""
    if _LIBC is None:
        os.setuid(uid)
        return
    _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(uid)
    only = 1 << _CAP_DAC_OVERRIDE
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _LIBC.capset(header, struct.pack("6I", only, only, only, 0, 0, 0))
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _works(prepare: Callable[[], None]) -> bool:
    try:
        done = subprocess.run(["true"], preexec_fn=prepare, check=False)
    except (subprocess.SubprocessError, OSError):
        return False
    return done.returncode == 0
