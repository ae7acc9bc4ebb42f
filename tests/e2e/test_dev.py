"""`python -m local dev` as its user sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from local.stack.process import free_port
from tests.integration.local.sample_functions import wait_until

# A stack of its own, whatever servers the shell of the tests names.
ENVIRONMENT = {**os.environ, "LOCAL_STACK": "tests"}


def start(folder: Path, port: int, *options: str) -> subprocess.Popen[str]:
    """The started command."""
    command = [sys.executable, "-m", "local", "dev", "--dir", str(folder), "--port", str(port), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)


@contextmanager
def running(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, once it is ready; killed at the end when the test has not stopped it."""
    process = start(folder, port, *options)
    try:
        wait_until((folder / "env").exists, 60)
        yield process
    finally:
        process.kill()
        process.communicate()


def sourced(folder: Path) -> dict[str, str]:
    """What a shell has in its environment after sourcing the stack's file."""
    shell = subprocess.run(
        ["sh", "-c", f". {folder}/env; env"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shell.stdout.splitlines())


def workflows(environment: dict[str, str]) -> httpx.Response:
    """The API's answer to a reader with the stack's key."""
    headers = {"Authorization": f"Bearer {environment['API_KEY']}"}
    return httpx.get(f"{environment['API_URL']}/api/workflows", headers=headers, timeout=30, trust_env=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_stops_without_a_trace_and_starts_again_with_its_data(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with 0 and leave no process; the next start has the same key."""
    with running(tmp_path, free_port(), "--no-reload") as process:
        before = sourced(tmp_path)
        assert workflows(before).status_code == 200
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 5
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "stopping" in output
    assert not psutil.wait_procs(family, timeout=5)[1]
    assert not (tmp_path / "env").exists()
    with running(tmp_path, free_port(), "--no-reload"):
        after = sourced(tmp_path)
        assert (after["API_KEY"], after["TENANT_ID"]) == (before["API_KEY"], before["TENANT_ID"])
        assert workflows(after).status_code == 200


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="this system does not end the children of a process that is killed, as Linux does: run it on Linux",
)
def test_killed_dev_leaves_no_process(tmp_path: Path) -> None:
    """Even kill -9 takes everything with it."""
    with running(tmp_path, free_port(), "--no-reload") as process:
        workflows(sourced(tmp_path))
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert not psutil.wait_procs(family, timeout=10)[1]


def test_dev_reports_a_server_that_ends(tmp_path: Path) -> None:
    """When a part of the stack ends on its own, all of it ends, with that part's name and its log."""
    with running(tmp_path, free_port(), "--no-reload") as process:
        family = psutil.Process(process.pid).children()
        next(child for child in family if "supabase" in child.cmdline()).kill()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "The Supabase gateway ended with code -9" in output


def test_dev_on_a_port_in_use_says_so(tmp_path: Path) -> None:
    """At once, and how to choose another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, port)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"Port {port} is in use by another process; choose another one with PORT=…" in output


@pytest.mark.parametrize("name", ["MAX_DRAINS", "RUN_MAX_BYTES", "DRAIN_MAX_BYTES"])
def test_dev_with_a_setting_that_cannot_be_says_so(tmp_path: Path, name: str) -> None:
    """Before anything starts, and not with the first request."""
    command = [sys.executable, "-m", "local", "dev", "--dir", str(tmp_path), "--port", str(free_port())]
    own = {"PATH": os.environ["PATH"], name: "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=own) as process:
        try:
            output, _ = process.communicate(timeout=20)
        finally:
            process.terminate()
    assert process.returncode == 1
    assert f"The environment variable {name} must be at least 1, not 0." in output
    assert "Postgres" not in output


def test_second_dev_over_the_same_folder_is_refused_and_over_another_one_runs(tmp_path: Path) -> None:
    """Two stacks need two folders."""
    with running(tmp_path / "one", free_port(), "--no-reload"):
        second = start(tmp_path / "one", free_port())
        output, _ = second.communicate(timeout=20)
        assert second.returncode == 1
        assert "A stack is already running over" in output
        assert "DIR=…" in output
        with running(tmp_path / "two", free_port(), "--no-reload"):
            assert workflows(sourced(tmp_path / "one")).status_code == 200
            assert workflows(sourced(tmp_path / "two")).status_code == 200
            assert sourced(tmp_path / "one")["TENANT_ID"] != sourced(tmp_path / "two")["TENANT_ID"]
