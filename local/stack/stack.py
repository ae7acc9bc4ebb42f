"""The whole service on this machine: databases, gateway, functions and the servers in front of them."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from local.stack import migrations
from local.stack.functions import DEFAULT_CONCURRENCY, PortInUseError
from local.stack.functions_process import FunctionsProcess
from local.stack.gateway_process import SupabaseGateway
from local.stack.given_servers import STACK_VARIABLE, GivenServers
from local.stack.intrinsics import REGION
from local.stack.postgres import PostgresServer
from local.stack.process import ROOT, ServerError, accepts_connections, free_port, tail
from local.stack.redis import RedisServer
from local.stack.tenant import Tenant, create_tenant, read_tenant, write_private, write_tenant
from local.stack.tokens import LocalKeys
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.settings import Settings


class StackRunningError(RuntimeError):
    """Another process runs a stack over the same folder."""


class LocalStack:
    """Everything, started by `start` and ended by `stop`; data, keys and logs are kept in one folder.

    With SUPABASE_URL and SUPABASE_KEY, or REDIS_HOST, in this process's environment, those servers are used instead of
    embedded ones; unless they come from the `env` file of a local stack: then they are ignored.
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
        """`port` is the HTTP API's, unset any free one; `environment` are further variables of the functions.

        `concurrency` is how many invocations of one function run at once. `postgres_template`, `durable` and
        `postgres_settings` are `PostgresServer`'s. `artifacts` is a build to run instead of the source tree;
        `parameters` are the template's. `report` is called with a line for each part that has started.
        """
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.keys = LocalKeys.of(self.folder / "keys")
        self._given = GivenServers()
        self.postgres: PostgresServer | None = None
        self.redis: RedisServer | None = None
        self.gateway: SupabaseGateway | None = None
        if not self._given.has_supabase:
            self.postgres = PostgresServer(
                self.folder / "postgres", template=postgres_template, durable=durable, settings=postgres_settings
            )
        if not self._given.has_redis:
            self.redis = RedisServer(self.folder / "redis")
        self._functions = FunctionsProcess(
            self.folder / "logs",
            self.port,
            template=template,
            artifacts=artifacts,
            parameters=parameters,
            concurrency=concurrency,
        )
        self._any_port = port is None
        self._extra = dict(environment or {})
        self._report = report
        self._lock: IO[str] | None = None
        self._tenant: Tenant | None = None
        self._tenant_id = ""

    # -- addresses and keys

    @property
    def api_url(self) -> str:
        """The HTTP API's URL."""
        return self._functions.url

    @property
    def lambda_url(self) -> str:
        """The AWS_ENDPOINT_URL_LAMBDA."""
        return self._functions.lambda_url

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
        """The addresses and keys of everything, as variables: the content of `.local/env`."""
        return {
            STACK_VARIABLE: str(self.folder),
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
        variables = self._given.settings()
        variables.setdefault("SECRETS_KEY", self.keys.secrets_key)
        if self.gateway is not None and self.postgres is not None:
            variables |= {"SUPABASE_URL": self.gateway.url, "SUPABASE_KEY": self.gateway.service_key}
            variables |= {"DATABASE_URL": self.postgres.url()}
        else:
            variables |= self._given.supabase()
        if self.redis is not None:
            return variables | {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.redis.port)}
        return variables | self._given.redis()

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
        return create_tenant(self._function_environment(), name, tenant_id)

    def workers(self) -> dict[str, list[JsonObject]]:
        """The running workers of each function: `{pid, busy, invocations}`."""
        return self._functions.workers()

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
        self._check_settings()
        self._given.check()
        self._tenant = read_tenant(self._tenant_file, self._database)
        self._tenant_id = new_id() if self._tenant is None else self._tenant.tenant_id
        self._start_databases()
        # The slow parts start side by side: functions while the gateway reads the schema. Each is waited for below.
        self._functions.launch(self._function_environment())
        if self.gateway is not None:
            with self._timed("Supabase") as detail:
                self.gateway.wait()
                detail(self.gateway.url)
        if self._tenant is None:
            with self._timed("tenant") as detail:
                self._tenant = self.new_tenant(tenant_id=self._tenant_id)
                write_tenant(self._tenant_file, self._database, self._tenant)
                detail(self.tenant_id)
        with self._timed("HTTP API") as detail:
            self._functions.wait()
            detail(self.api_url)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        write_private(self.folder / "env", "\n".join(lines) + "\n")

    def _start_databases(self) -> None:
        if self.postgres is not None:
            with self._timed("Postgres") as detail:
                self.postgres.start()
                detail(self.postgres.url())
            with self._timed("migrations") as detail:
                applied = migrations.apply(self.postgres.url())
                detail(f"{len(applied)} applied" if applied else "up to date")
            log = self.folder / "logs" / "supabase.log"
            self.gateway = SupabaseGateway(self.postgres.url(), self.keys, log)
            self.gateway.launch()
        else:
            self._report(f"  Supabase   given     {self._given.supabase_url}")
        if self.redis is None:
            self._report(f"  Redis      given     {self._given.redis_host}")
        else:
            with self._timed("Valkey") as detail:
                self.redis.start()
                detail(self.redis.url)

    def _check_settings(self) -> None:
        """Raises `ServerError` for settings with values that they cannot have."""
        try:
            Settings.from_environment(self._function_environment() | {"SUPABASE_URL": "-", "SUPABASE_KEY": "-"})
        except ValueError as error:
            raise ServerError(str(error)) from None

    @contextmanager
    def _timed(self, what: str) -> Iterator[Callable[[str], None]]:
        began, details = time.perf_counter(), [""]
        yield details.append
        milliseconds = (time.perf_counter() - began) * 1000
        self._report(f"  {what:<11}{milliseconds:5.0f} ms  {details[-1]}")

    def _take_lock(self) -> None:
        # One stack per folder: two servers over the same data folder would destroy it. The lock ends with the process.
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

    def _function_environment(self) -> dict[str, str]:
        return {
            # The template's values for the deployed service, which do not hold here.
            "REDIS_TLS": "false",
            "REDIS_PASSWORD": "",
            "SECRETS_KEY_ARN": "",
            "PUBLIC_URL": self.api_url,
            **self._servers(),
            # The first tenant's workflows may call this machine; a deployed service's may not.
            "OUTBOUND_ALLOW": f"{self.tenant_id}=127.0.0.1,{self._given.variables.get('OUTBOUND_ALLOW', '')}",
            "AWS_ALLOW": f"{self.tenant_id}=*",
            **self._extra,
        }

    @property
    def _tenant_file(self) -> Path:
        return self.folder / "tenant.json"

    @property
    def _database(self) -> str:
        return "embedded" if self.postgres is not None else self._given.supabase_url

    def check(self) -> None:
        """Raises `ServerError`, with the end of its log, when one of the servers has ended."""
        parts: list[tuple[str, subprocess.Popen[bytes] | None, Path]] = [
            ("The HTTP API", self._functions.process, self._functions.log)
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
        self._functions.reload()

    def restart_functions(self) -> None:
        """Read the template again; the databases stay up."""
        self._functions.restart(self._function_environment())

    def stop(self) -> None:
        """End everything; the data stays in the folder."""
        self._functions.stop()
        # In the reverse order of their use: the gateway's connections end before the database does.
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
