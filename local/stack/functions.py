"""`python -m local functions`: serves a SAM template's functions over an HTTP API and Lambda's Invoke API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from local.stack.function_pool import FunctionPool
from local.stack.http_api import INTEGRATION_SECONDS, HttpApi
from local.stack.intrinsics import TemplateError
from local.stack.lambda_api import ASYNC_RETRY_SECONDS, AsyncInvocations, LambdaApi
from local.stack.lambda_environment import LambdaEnvironment, Runtime
from local.stack.process import ROOT
from local.stack.schedule import run_schedules
from local.stack.template import Function, Template, read_template
from local.stack.worker_process import WorkerProcess

DEFAULT_CONCURRENCY = 4
# Variables that the functions get besides the template's, as JSON: by environment, because some are secrets.
ENVIRONMENT_VARIABLE = "LOCAL_FUNCTION_ENVIRONMENT"
# Variables of the stack in the place of one of the template's, and for the same functions.
_STANDS_FOR = {"SECRETS_KEY": "SECRETS_KEY_ARN"}


class PortInUseError(RuntimeError):
    """Another process listens on the wanted port."""


class FunctionServer:
    """The functions of one template and the two servers in front of them, on one event loop."""

    def __init__(
        self,
        template: Path,
        logs: Path,
        *,
        environment: Mapping[str, str],
        port: int = 0,
        lambda_port: int = 0,
        concurrency: int = DEFAULT_CONCURRENCY,
        integration_seconds: float = INTEGRATION_SECONDS,
        async_retry_seconds: float = ASYNC_RETRY_SECONDS,
        schedules: bool = True,
        parameters: Mapping[str, str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Port 0 means any free one; `parameters` are the template's. With a `runtime` the template is a build's, and
        its artifacts run as on Lambda. Raises `PortInUseError`, or `TemplateError` for what cannot run here."""
        self.template = read_template(template, parameters)
        self._schedules = schedules
        self._http_socket, self._lambda_socket = _listen(port), _listen(lambda_port)
        logs.mkdir(parents=True, exist_ok=True)
        # What the stack says wins over the template; where the functions invoke one another is decided here.
        overlay = {**_credentials(), **environment, "AWS_ENDPOINT_URL_LAMBDA": self.lambda_url, "PORT": str(self.port)}
        start = WorkerProcess if runtime is None else partial(LambdaEnvironment, runtime=runtime)
        self.pools = {
            name: FunctionPool(
                function,
                environment=own_variables(function, self.template, overlay),
                log=logs / f"{name}.log",
                concurrency=concurrency,
                start=start,
            )
            for name, function in self.template.functions.items()
        }
        self.invocations = AsyncInvocations(self.pools, async_retry_seconds)
        http_api = HttpApi(self.template, self.pools, integration_seconds=integration_seconds)
        self._servers = [
            (_Server(http_api), self._http_socket),
            (_Server(LambdaApi(self.pools, self.invocations)), self._lambda_socket),
        ]

    @property
    def port(self) -> int:
        """The HTTP API's port."""
        return int(self._http_socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The HTTP API's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lambda_url(self) -> str:
        """The AWS_ENDPOINT_URL_LAMBDA."""
        return f"http://127.0.0.1:{self._lambda_socket.getsockname()[1]}"

    async def serve(self) -> None:
        """Serve until `stop`, then end all workers."""
        background: set[asyncio.Task[None]] = set()
        try:
            if self._schedules:
                background.add(asyncio.create_task(run_schedules(self.template, self.invocations)))
            await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in self._servers))
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            self.invocations.close()
            for pool in self.pools.values():
                pool.close()
            await asyncio.gather(*(pool.wait_closed() for pool in self.pools.values()))

    def stop(self) -> None:
        """Make `serve` return soon."""
        for pool in self.pools.values():
            pool.close()
        for server, _ in self._servers:
            server.should_exit = True


def own_variables(function: Function, template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """Of the variables `given`, those that this function has on AWS too: one that the template gives to some function
    is only for those to which it gives it, so that one that lacks a key there lacks it here as well."""
    others = {name for other in template.functions.values() for name in other.environment} - set(function.environment)
    return {name: value for name, value in given.items() if _STANDS_FOR.get(name, name) not in others}


class _Server(uvicorn.Server):
    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: two of these run in one process, which handles them for both."""
        yield


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise PortInUseError(f"Port {port} is in use by another process; choose another one with PORT=…") from error
    return listener


def _credentials() -> dict[str, str]:
    """Credentials for boto3 to sign with; the local APIs check no signature."""
    return {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "local"}


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """`asyncio.run` on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


def main(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the template or a port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local functions", description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--port", type=int, default=0, help="of the HTTP API")
    parser.add_argument("--lambda-port", type=int, default=0, help="of Lambda's Invoke API")
    parser.add_argument("--logs", type=Path, default=Path(".local/logs"), help="a folder: one file for each function")
    parser.add_argument("--concurrency", type=int, default=DEFAULT_CONCURRENCY, help="workers for each function")
    parser.add_argument("--artifacts", type=Path, help="a build's folder: run what was built there, as on Lambda")
    parser.add_argument("--parameters", type=json.loads, default={}, help="of the template, as JSON")
    options = parser.parse_args(argv)
    environment = json.loads(os.environ.pop(ENVIRONMENT_VARIABLE, "{}"))

    async def serve() -> None:
        server = FunctionServer(
            options.artifacts / "template.yaml" if options.artifacts else options.template,
            options.logs,
            environment=environment,
            port=options.port,
            lambda_port=options.lambda_port,
            concurrency=options.concurrency,
            parameters=options.parameters,
            runtime=Runtime.of(options.artifacts) if options.artifacts else None,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        print(f"HTTP API {server.url} · Lambda API {server.lambda_url}", flush=True)
        await server.serve()

    try:
        run(serve)
    except (PortInUseError, TemplateError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
