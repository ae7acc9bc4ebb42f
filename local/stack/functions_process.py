"""Starts the functions of the local stack, and the servers in front of them, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.stack.functions import DEFAULT_CONCURRENCY, ENVIRONMENT_VARIABLE
from local.stack.process import ROOT, accepts_connections, free_port, spawn, stop, wait_until
from shared.json_types import JsonObject


class FunctionsProcess:
    """A SAM template's functions behind an HTTP API at `url` and Lambda's Invoke API at `lambda_url`."""

    def __init__(
        self,
        logs: Path,
        port: int,
        *,
        template: Path,
        artifacts: Path | None = None,
        parameters: Mapping[str, str] | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        """`logs` is a folder; `artifacts` a build to run instead of the source; `parameters` are the template's."""
        self.port = port
        self.lambda_port = free_port()
        self.log = logs / "functions.log"
        self._arguments: list[str | Path] = ["--template", template]
        self._arguments += ["--port", str(port), "--lambda-port", str(self.lambda_port)]
        self._arguments += ["--logs", logs, "--concurrency", str(concurrency)]
        self._arguments += ["--parameters", json.dumps(dict(parameters or {}))]
        self._arguments += [] if artifacts is None else ["--artifacts", artifacts]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The HTTP API's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lambda_url(self) -> str:
        """The AWS_ENDPOINT_URL_LAMBDA."""
        return f"http://127.0.0.1:{self.lambda_port}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process, or None while it is stopped."""
        return self._process

    def launch(self, environment: Mapping[str, str]) -> None:
        """Start the process without waiting for it; the functions get `environment` besides the template's."""
        command: list[str | Path] = [sys.executable, "-m", "local", "functions", *self._arguments]
        # In the environment, not on the command line, which every user of the machine can read.
        variables = {**os.environ, ENVIRONMENT_VARIABLE: json.dumps(dict(environment))}
        self._process = spawn(command, self.log, environment=variables, folder=ROOT)

    def wait(self) -> None:
        """Return once both servers answer. Raises `ServerError` when the process ends instead."""
        assert self._process is not None
        for port in (self.lambda_port, self.port):
            wait_until(lambda port=port: accepts_connections(port), self._process, self.log, "The HTTP API")  # type: ignore[misc]

    def workers(self) -> dict[str, list[JsonObject]]:
        """The running workers of each function: `{pid, busy, invocations}`."""
        with urllib.request.urlopen(f"{self.lambda_url}/_local/functions", timeout=5) as answer:  # noqa: S310 -- ours
            workers: dict[str, list[JsonObject]] = json.load(answer)
            return workers

    def reload(self) -> None:
        """Let new workers with today's code answer from the next invocation on."""
        request = urllib.request.Request(f"{self.lambda_url}/_local/reload", method="POST")  # noqa: S310 -- ours
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310

    def restart(self, environment: Mapping[str, str]) -> None:
        """Read the template again."""
        assert self._process is not None
        stop(self._process)
        self.launch(environment)
        self.wait()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            stop(self._process, signal.SIGTERM)
            self._process = None
