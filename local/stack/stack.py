"""The whole service on this machine: databases, gateway, functions and the servers in front of them."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import urlsplit

from local.stack import migrations
from local.stack.function_pool import ROOT
from local.stack.functions import DEFAULT_CONCURRENCY, ENVIRONMENT_VARIABLE, PortInUseError
from local.stack.gateway_process import SupabaseGateway
from local.stack.intrinsics import REGION
from local.stack.postgres import PostgresServer
from local.stack.process import ServerError, accepts_connections, free_port, spawn, stop, tail, wait_until
from local.stack.redis import RedisServer
from local.stack.tokens import LocalKeys
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.settings import Settings

# What the functions read beyond the addresses of their servers (shared/settings.py): passed on where it is set here.
_TUNABLE = (
    *("LOG_LEVEL", "QUEUE_NAME", "QUEUE_PREFIX", "REDIS_PASSWORD", "REDIS_TLS", "JWKS_URL", "SECRETS_KEY"),
    *("DRAIN_CONCURRENCY", "DRAIN_LINGER_SECONDS", "LOCK_SECONDS", "LEASE_SECONDS", "DELIVERY_MEMORY_SECONDS"),
    *("RUN_MAX_FACTS", "RUN_MAX_BYTES", "DRAIN_MAX_BYTES", "MAX_DRAINS", "TENANT_DELIVERIES_PER_SECOND"),
    *("PUBLIC_URL", "AWS_ENDPOINT_URL"),
)


# In the `env` file, so that a shell that has sourced it does not turn the next stack away from its own servers.
_MARK = "LOCAL_STACK"


class StackRunningError(RuntimeError):
    """Another process runs a stack over the same folder."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its API key."""

    tenant_id: str
    api_key: str


class LocalStack:
    """Everything, started by `start` and ended by `stop`; data, keys and logs are kept in one folder.

    With SUPABASE_URL and SUPABASE_KEY, or REDIS_HOST, in this process's environment, those servers are used instead of
    embedded ones; unless they come from the `env` file of a local stack, which then are not looked at.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        template: Path = ROOT / "template.yaml",
        concurrency: int = DEFAULT_CONCURRENCY,
        postgres_template: Path | None = None,
        durable: bool = True,
        postgres_settings: Mapping[str, str] | None = None,
        artifacts: Path | None = None,
        parameters: Mapping[str, str] | None = None,
        report: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`port` is the HTTP API's, unset any free one; `environment` is what the functions get besides.

        `concurrency` is how many invocations of one function run at once. `postgres_template`, `durable` and
        `postgres_settings` are `PostgresServer`'s. `artifacts` is a build to run instead of the source tree;
        `parameters` are the template's. `report` is told what has been started, a line each.
        """
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.lambda_port = free_port()
        self.keys = LocalKeys.of(self.folder / "keys")
        self._outside: Mapping[str, str] = {} if _MARK in os.environ else os.environ
        self.postgres = (
            None
            if self._outside.get("SUPABASE_URL") and self._outside.get("SUPABASE_KEY")
            else PostgresServer(
                self.folder / "postgres", template=postgres_template, durable=durable, settings=postgres_settings
            )
        )
        self.redis = None if self._outside.get("REDIS_HOST") else RedisServer(self.folder / "redis")
        self.gateway: SupabaseGateway | None = None
        self._any_port = port is None
        self._functions: subprocess.Popen[bytes] | None = None
        self._template = template
        self._artifacts = artifacts
        self._parameters = dict(parameters or {})
        self._concurrency = concurrency
        self._extra = dict(environment or {})
        self._report = report
        self._lock: IO[str] | None = None
        self._tenant: Tenant | None = None
        self._tenant_id = ""

    # -- what it offers

    @property
    def api_url(self) -> str:
        """The HTTP API's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lambda_url(self) -> str:
        """The AWS_ENDPOINT_URL_LAMBDA."""
        return f"http://127.0.0.1:{self.lambda_port}"

    @property
    def tenant(self) -> Tenant:
        """The tenant that was made at the first start."""
        assert self._tenant is not None
        return self._tenant

    @property
    def tenant_id(self) -> str:
        """The first tenant's id."""
        return self._tenant_id

    @property
    def api_key(self) -> str:
        """The first tenant's API key, of the role admin."""
        return self.tenant.api_key

    @property
    def environment(self) -> dict[str, str]:
        """Where everything is, as variables: what `.local/env` has."""
        return {
            _MARK: str(self.folder),
            "API_URL": self.api_url,
            "API_KEY": self.api_key,
            "TENANT_ID": self.tenant_id,
            **self._servers(),
            "AWS_ENDPOINT_URL_LAMBDA": self.lambda_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def _servers(self) -> dict[str, str]:
        """The databases' addresses and keys."""
        outside = self._outside
        found = {name: outside[name] for name in _TUNABLE if name in outside}
        found.setdefault("SECRETS_KEY", self.keys.secrets_key)
        if self.gateway is not None and self.postgres is not None:
            found |= {"SUPABASE_URL": self.gateway.url, "SUPABASE_KEY": self.gateway.service_key}
            found |= {"DATABASE_URL": self.postgres.url()}
        else:
            names = ("SUPABASE_URL", "SUPABASE_KEY", "DATABASE_URL")
            found |= {name: outside[name] for name in names if name in outside}
        if self.redis is not None:
            return found | {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.redis.port)}
        return found | {"REDIS_HOST": outside["REDIS_HOST"], "REDIS_PORT": outside.get("REDIS_PORT", "6379")}

    def user_token(self, tenant_id: str, *, role: str = "admin", user_id: str, lifetime_seconds: int = 3600) -> str:
        """The token that Supabase Auth would give to a signed-in user; only for the embedded Supabase."""
        assert self.gateway is not None
        return self.keys.user_token(
            self.gateway.url, tenant_id, role=role, user_id=user_id, lifetime_seconds=lifetime_seconds
        )

    def new_tenant(self, name: str = "first", tenant_id: str | None = None) -> Tenant:
        """A tenant, new unless `tenant_id` names one, with a new API key of the role admin.

        Raises `ServerError` when the key cannot be made.
        """
        command = [sys.executable, "-m", "local", "api-key", "--name", name, "--tenant", tenant_id or new_id()]
        done = subprocess.run(
            command, cwd=ROOT, env=self._function_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"The API key could not be made:\n{done.stderr.strip()}")
        made = dict(line.split("=", 1) for line in done.stdout.split())
        return Tenant(made["TENANT_ID"], made["API_KEY"])

    def workers(self) -> dict[str, list[JsonObject]]:
        """The running workers of each function: `{pid, busy, invocations}`."""
        with urllib.request.urlopen(f"{self.lambda_url}/_local/functions", timeout=5) as answer:  # noqa: S310 -- ours
            workers: dict[str, list[JsonObject]] = json.load(answer)
            return workers

    def log(self, function: str) -> Path:
        """The file with all that the function's workers print; `function` may leave out the stack's name."""
        name = function if function.startswith("local-") else f"local-{function}"
        return self.folder / "logs" / f"{name}.log"

    # -- starting and stopping

    def empty(self) -> None:
        """Remove the data and logs of earlier starts. Raises `StackRunningError` while a stack uses them."""
        self._take_lock()
        for name in ("postgres", "redis", "logs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "tenant.json").unlink(missing_ok=True)

    def start(self) -> LocalStack:
        """This stack, ready for requests. When a part of it does not start, the others are stopped again."""
        self._take_lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        if not self._any_port and accepts_connections(self.port):
            raise PortInUseError(f"Port {self.port} is in use by another process; choose another one with PORT=…")
        self._check_given()
        self._read_tenant()
        if self.postgres is not None:
            with self._timed("Postgres") as note:
                self.postgres.start()
                note(self.postgres.url())
            with self._timed("migrations") as note:
                applied = migrations.apply(self.postgres.url())
                note(f"{len(applied)} applied" if applied else "up to date")
            log = self.folder / "logs" / "supabase.log"
            self.gateway = SupabaseGateway(self.postgres.url(), self.keys, log)
            self.gateway.launch()
        else:
            self._report(f"  Supabase   given     {self._outside['SUPABASE_URL']}")
        if self.redis is None:
            self._report(f"  Redis      given     {self._outside['REDIS_HOST']}")
        else:
            with self._timed("Valkey") as note:
                self.redis.start()
                note(self.redis.url)
        self._launch_functions()
        if self.gateway is not None:
            with self._timed("Supabase") as note:
                self.gateway.wait()
                note(self.gateway.url)
        if self._tenant is None:
            with self._timed("tenant") as note:
                self._make_tenant()
                note(self.tenant_id)
        with self._timed("HTTP API") as note:
            self._wait_for_functions()
            note(self.api_url)
        self._write_environment()

    def _check_given(self) -> None:
        """Raises `ServerError` for settings that cannot be, and servers that are named by half or do not answer."""
        outside = self._outside
        try:
            Settings.from_environment(self._function_environment() | {"SUPABASE_URL": "-", "SUPABASE_KEY": "-"})
        except ValueError as error:
            raise ServerError(str(error)) from None
        names = ("SUPABASE_URL", "SUPABASE_KEY")
        missing = [name for name in names if not outside.get(name)]
        if len(missing) == 1:
            (given,) = set(names) - set(missing)
            raise ServerError(f"{given} is set and {missing[0]} is not: set both to use that Supabase, or neither.")
        if self.postgres is None:
            url = urlsplit(outside["SUPABASE_URL"])
            number = url.port or (443 if url.scheme == "https" else 80)
            if not url.hostname or not accepts_connections(number, url.hostname, 5):
                raise ServerError(f"SUPABASE_URL is set, and {outside['SUPABASE_URL']} cannot be reached.")
        if self.redis is None:
            host, text = outside["REDIS_HOST"], outside.get("REDIS_PORT") or "6379"
            if not text.isdecimal() or not accepts_connections(int(text), host, 5):
                raise ServerError(f"REDIS_HOST is set, and nobody answers at {host}:{text}.")

    @contextmanager
    def _timed(self, what: str) -> Iterator[Callable[[str], None]]:
        began, notes = time.perf_counter(), [""]
        yield notes.append
        milliseconds = (time.perf_counter() - began) * 1000
        self._report(f"  {what:<11}{milliseconds:5.0f} ms  {notes[-1]}")

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StackRunningError(
                f"A stack is already running over {self.folder}; stop it, or choose another folder with DIR=…"
            ) from None

    def _launch_functions(self) -> None:
        command: list[str | Path] = [sys.executable, "-m", "local", "functions", "--template", self._template]
        command += ["--port", str(self.port), "--lambda-port", str(self.lambda_port)]
        command += ["--logs", self.folder / "logs", "--concurrency", str(self._concurrency)]
        command += ["--parameters", json.dumps(self._parameters)]
        command += [] if self._artifacts is None else ["--artifacts", self._artifacts]
        environment = {**os.environ, ENVIRONMENT_VARIABLE: json.dumps(self._function_environment())}
        self._functions = spawn(command, self._functions_log, environment=environment, folder=ROOT)

    @property
    def _functions_log(self) -> Path:
        return self.folder / "logs" / "functions.log"

    def _wait_for_functions(self) -> None:
        assert self._functions is not None
        ready = self._functions
        for port in (self.lambda_port, self.port):
            wait_until(lambda port=port: accepts_connections(port), ready, self._functions_log, "The HTTP API")  # type: ignore[misc]

    def _function_environment(self) -> dict[str, str]:
        return {
            # The template's values for the deployed service, which do not hold here.
            "REDIS_TLS": "false",
            "REDIS_PASSWORD": "",
            "SECRETS_KEY_ARN": "",
            "PUBLIC_URL": self.api_url,
            **self._servers(),
            # The first tenant's workflows may call this machine; a deployed service's may not.
            "OUTBOUND_ALLOW": f"{self.tenant_id}=127.0.0.1,{self._outside.get('OUTBOUND_ALLOW', '')}",
            "AWS_ALLOW": f"{self.tenant_id}=*",
            **self._extra,
        }

    def _read_tenant(self) -> None:
        """Take up the tenant of an earlier start, or decide on the id of a new one."""
        try:
            kept = json.loads((self.folder / "tenant.json").read_text())
        except (FileNotFoundError, ValueError):
            kept = {}
        known = kept.get("database") == self._database
        self._tenant = Tenant(kept["tenant_id"], kept["api_key"]) if known else None
        self._tenant_id = kept["tenant_id"] if known else new_id()

    def _make_tenant(self) -> None:
        self._tenant = self.new_tenant(tenant_id=self._tenant_id)
        kept = {"database": self._database, **asdict(self._tenant)}
        _write_private(self.folder / "tenant.json", json.dumps(kept))

    @property
    def _database(self) -> str:
        return "embedded" if self.postgres is not None else self._outside["SUPABASE_URL"]

    def _write_environment(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        _write_private(self.folder / "env", "\n".join(lines) + "\n")

    def check(self) -> None:
        """Raises `ServerError`, with the end of its log, when one of the servers has ended."""
        parts: list[tuple[str, subprocess.Popen[bytes] | None, Path]] = [
            ("The HTTP API", self._functions, self._functions_log)
        ]
        if self.postgres is not None:
            parts.append(("Postgres", self.postgres.process, self.postgres.log))
        if self.redis is not None:
            parts.append(("Valkey", self.redis.process, self.redis.log))
        if self.gateway is not None:
            parts.append(("The Supabase gateway", self.gateway.process, self.gateway.log))
        for name, process, log in parts:
            if process is not None and process.poll() is not None:
                raise ServerError(f"{name} ended with code {process.returncode}. The end of {log}:\n{tail(log)}")

    def reload(self) -> None:
        """Let today's code of the functions answer from the next invocation on."""
        request = urllib.request.Request(f"{self.lambda_url}/_local/reload", method="POST")  # noqa: S310 -- ours
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310

    def restart_functions(self) -> None:
        """Read the template again; the databases stay up."""
        assert self._functions is not None
        stop(self._functions)
        self._launch_functions()
        self._wait_for_functions()

    def stop(self) -> None:
        """End everything; the data stays in the folder."""
        if self._functions is not None:
            stop(self._functions, signal.SIGTERM)
            self._functions = None
        for part in (self.gateway, self.redis, self.postgres):
            if part is not None:
                part.stop()
        (self.folder / "env").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> LocalStack:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
