"""Child processes that never outlive their parent, and ports for them to listen on."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]  # the repository's folder: `python -m local` is started from there
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded before any fork: the child may only make calls that need no lock of the parent's.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


_STARTS = 5
# Below those that outgoing connections get, one of which could take the port before its server does.
_PORTS = range(20_000, 32_000)


class ServerError(RuntimeError):
    """A server of the local stack did not start or ended on its own."""


def die_with_parent(with_signal: signal.Signals) -> None:
    """Ask Linux to send `with_signal` to this process when the thread that started it ends; elsewhere does nothing."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)


def spawn(
    command: Sequence[str | Path],
    log: Path,
    *,
    last_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """The started process, with its output appended to `log`.

    It leads a process group of its own, so that a Ctrl-C reaches only the stack, which then stops its parts in order.
    Start it from a thread that lives as long as the process should: Linux sends `last_signal` when that thread ends.
    `prepare` runs in the child just before the command does.
    """

    def before_the_command() -> None:
        if prepare is not None:
            prepare()
        die_with_parent(last_signal)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            process_group=0,
            preexec_fn=before_the_command,
        )


def stop(process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM, seconds: float = 10) -> None:
    """End `process`: ask with `with_signal`, and kill it when `seconds` were not enough."""
    if process.poll() is not None:
        return
    process.send_signal(with_signal)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, name: str, seconds: float = 20
) -> None:
    """Return when `ready()` is true; raises `ServerError` with the end of `log` when the process dies before."""
    deadline = time.monotonic() + seconds
    while not ready():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            why = f"ended with code {code}" if code is not None else f"was not ready within {seconds:g} s"
            raise ServerError(f"{name} {why}. The end of {log}:\n{tail(log)}")
        time.sleep(0.005)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file, or nothing when there is no such file."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def port(text: str) -> int:
    """An option's port number; 0 means any free one where the command says so. Another text raises `ValueError`."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError(text)
    return number


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago, and that no outgoing connection is given meanwhile.

    Raises `ServerError` when there is none.
    """
    for number in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            # As the servers bind it: connections that have just ended do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
    raise ServerError("No free port was found between 20000 and 32000.")


def launch_at(launch: Callable[[int], None], fixed: int | None, last: int = 0) -> None:
    """Starts a server by `launch(port)`: at its fixed port, or else at its last one or any that is free.

    A port that was free a moment ago may be taken when the server binds it: then another is tried, a few times, before
    the `ServerError` is raised.
    """
    if fixed is not None:
        launch(fixed)
        return
    for attempt in range(_STARTS):
        try:
            launch(last if last and attempt == 0 else free_port())
        except ServerError:
            if attempt == _STARTS - 1:
                raise
        else:
            return


def accepts_connections(number: int, host: str = "127.0.0.1", seconds: float = 1) -> bool:
    """Whether port `number` of `host` accepts a connection within `seconds`."""
    try:
        socket.create_connection((host, number), timeout=seconds).close()
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
