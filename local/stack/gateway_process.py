"""Starts the Supabase gateway of the local stack as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from local.stack.process import accepts_connections, free_port, spawn, stop, wait_until
from local.stack.tokens import LocalKeys


class SupabaseGateway:
    """The REST API over one database, at `url`, with its API keys."""

    def __init__(self, database_url: str, keys: LocalKeys, log: Path, port: int | None = None) -> None:
        """`database_url` is a superuser's; the gateway signs in as `authenticator`, as hosted Supabase does."""
        self.database_url = database_url
        self.keys = keys
        self.service_key = keys.api_key("service_role")
        self.anon_key = keys.api_key("anon")
        self.log = log
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The SUPABASE_URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The gateway's process, or None while it is stopped."""
        return self._process

    def launch(self) -> None:
        """Start the process without waiting for it."""
        command: list[str | Path] = [sys.executable, "-m", "local", "supabase"]
        command += ["--database-url", self.database_url.replace("postgres@", "authenticator@", 1)]
        command += ["--port", str(self.port)]
        # In the environment, not on the command line, which every user of the machine can read.
        environment = {**os.environ, "JWT_SECRET": json.dumps(self.keys.gateway_keys())}
        self._process = spawn(command, self.log, environment=environment, folder=Path(__file__).parents[2])

    def wait(self) -> SupabaseGateway:
        """This gateway, once it answers. Raises `ServerError` when it ends instead."""
        assert self._process is not None
        wait_until(lambda: accepts_connections(self.port), self._process, self.log, "The Supabase gateway")
        return self

    def start(self) -> SupabaseGateway:
        """This gateway, ready for requests."""
        self.launch()
        return self.wait()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            stop(self._process)
            self._process = None
