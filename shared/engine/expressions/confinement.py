"""What keeps a child that evaluates tenants' expressions from reaching anything but its socket.

The child is the same user as its parent. Should an expression ever run machine code, by a fault of the native library,
the kernel still refuses it: new files, sockets, processes and threads; core dumps; more rights by a set-user-id
program; and its parent's memory and environment, where the service's keys are. Outside Linux the limits alone hold.
"""

from __future__ import annotations

import contextlib
import os
import sys
from itertools import pairwise

# Private memory that may be reserved: the library's allocator alone takes 1 GiB ahead. Memory that is really in use is
# bounded by the parent, which watches this process.
MEMORY_BYTES = 4 * 1024 * 1024 * 1024
# Of all that is mapped: the interpreter, and what allocators reserve without being given it.
ADDRESS_SPACE_BYTES = 4 * MEMORY_BYTES
# Numbers of the Linux ABI, prctl.h.
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def hide_this_process() -> None:
    """Takes this process's environment and memory (`/proc/<pid>/environ`, `mem`, ptrace) from all other processes of
    its user. What it starts later is not hidden: each process is asked for on its own."""
    _prctl(_PR_SET_DUMPABLE, 0)


def confine_this_process() -> None:
    """Takes from this process whatever it has no need of any more: it keeps the files that it has open and the threads
    that run. Its limits are hard ones, which only root could raise again."""
    import resource  # the parent, which imports this module too, sets no limit

    hide_this_process()
    limits = {
        # Not even one more: a new descriptor of any kind has a number of at least 0.
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: MEMORY_BYTES,
        resource.RLIMIT_AS: ADDRESS_SPACE_BYTES,
    }
    for limit, most in limits.items():
        # A lower hard limit than this stays; macOS refuses some of them.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


def keep_only(*descriptors: int) -> None:
    """Closes whatever else this process has inherited, above the standard streams, and gives up the rights that a
    program may bring (set-user-id). Of the latter its threads inherit only what is done before they start."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    kept = [2, *sorted(descriptors), os.sysconf("SC_OPEN_MAX")]
    for below, above in pairwise(kept):
        os.closerange(below + 1, above)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes  # some modules: only a process that evaluates expressions needs it

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")
