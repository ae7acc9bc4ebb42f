"""What a process that evaluates expressions cannot do any more, whatever runs in it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.engine.expressions.confinement import hide_this_process
from tests.unit.engine.expressions.test_evaluator import child, guard, value  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[4]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limits are Linux's")
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
# As machine code in the child would: no import is left to do, and each line of the answer is what one attempt met.
ATTEMPTS = """
import errno, os, socket, sys
from shared.engine.expressions.confinement import confine_this_process, keep_only
inherited = int(sys.argv[1])
attempts = {
    "read": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "environ": lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY),
    "write": lambda: os.open("/tmp/confined", os.O_WRONLY | os.O_CREAT),
    "socket": lambda: socket.socket(),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "duplicate": lambda: os.dup(1),
    "pipe": lambda: os.pipe(),
    "inherited": lambda: os.fstat(inherited),
}
met = {}
keep_only()
confine_this_process()
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        met[name] = errno.errorcode[error.errno]
print(met)
"""


def limits_of(pid: int) -> dict[str, str]:
    """The hard limits of a process, as /proc shows them."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[26:].split()[1] for line in lines}


def may_gain_no_rights(pid: int) -> bool:
    """Whether none of its threads may."""
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return len(statuses) > 1 and all("NoNewPrivs:\t1\n" in status for status in statuses)


def descriptors_of(pid: int) -> list[str]:
    """What a process has open."""
    return [path.name for path in Path(f"/proc/{pid}/fd").iterdir()]


async def test_child_can_open_nothing_and_start_nothing(guard: object) -> None:  # noqa: F811
    """The child that evaluates has the limits, no way to more rights, and no descriptor but its socket and streams."""
    assert await value(guard, "{% 1 + 1 %}") == 2  # type: ignore[arg-type]
    pid = child().pid
    limits = limits_of(pid)
    names = ("Max open files", "Max processes", "Max file size", "Max core file size")
    assert {name: limits[name] for name in names} == dict.fromkeys(names, "0")
    assert limits["Max address space"] != "unlimited"
    assert may_gain_no_rights(pid)
    # Its standard streams and its socket.
    assert len(descriptors_of(pid)) == 4, descriptors_of(pid)


def test_attempts_of_a_confined_process_are_refused_by_the_kernel() -> None:
    """Files, its parent's environment among them, sockets and descriptors; what it has inherited is
    closed."""
    with Path(__file__).open() as inherited:
        command = [sys.executable, "-c", ATTEMPTS, str(inherited.fileno())]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, pass_fds=(inherited.fileno(),)
        )
    refused = dict.fromkeys(("read", "environ", "write", "socket", "udp", "duplicate", "pipe"), "EMFILE")
    # How fcntl's F_DUPFD says that there may be no descriptor so large.
    assert done.stdout.strip() == str(refused | {"duplicate": "EINVAL", "inherited": "EBADF"})
    assert not Path("/tmp/confined").exists()


def test_environment_of_the_parent_is_hidden_from_its_user() -> None:
    """Another process of the same user reads it before, and is refused after."""
    assert read_by_a_child(lambda: None) == b"read"
    assert read_by_a_child(hide_this_process) == b"PermissionError"


async def test_process_that_starts_a_child_hides_itself(guard: object) -> None:  # noqa: F811
    """The drain's own, before it has a child."""
    assert await value(guard, "{% 1 %}") == 1  # type: ignore[arg-type]
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
    assert descriptors_of(os.getpid())  # which it still sees itself


def read_by_a_child(prepare: Callable[[], None]) -> bytes:
    """What a child, which is no other user and no root, meets when it opens the environment of its parent, after
    `prepare` was called there. Both are processes of their own."""
    ours, theirs = os.pipe()
    parent = os.fork()
    if parent == 0:
        become_nobody()
        prepare()
        if os.fork() == 0:
            try:
                os.close(os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY))
            except OSError as error:
                os.write(theirs, type(error).__name__.encode())
            else:
                os.write(theirs, b"read")
            os._exit(0)
        os.wait()
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answers:
        answer = answers.read()
    os.waitpid(parent, 0)
    return answer


def become_nobody() -> None:
    """Root may read everything; and a process that has changed its user is hidden until it says otherwise."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
