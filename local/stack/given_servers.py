"""Servers that the shell's environment names, to be used instead of embedded ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from local.stack.process import ServerError, accepts_connections

# Set in the `env` file of a stack: a shell that has sourced it does not make the next stack use these servers.
STACK_VARIABLE = "LOCAL_STACK"
# What the functions read beyond the addresses of their servers (shared/settings.py): passed on where it is set here.
_PASSED_ON = (
    *("LOG_LEVEL", "QUEUE_NAME", "QUEUE_PREFIX", "REDIS_PASSWORD", "REDIS_TLS", "JWKS_URL", "SECRETS_KEY"),
    *("DRAIN_CONCURRENCY", "DRAIN_LINGER_SECONDS", "LOCK_SECONDS", "LEASE_SECONDS", "DELIVERY_MEMORY_SECONDS"),
    *("RUN_MAX_FACTS", "RUN_MAX_BYTES", "DRAIN_MAX_BYTES", "MAX_DRAINS", "TENANT_DELIVERIES_PER_SECOND"),
    *("TENANT_MAX_WAITS", "PUBLIC_URL", "AWS_ENDPOINT_URL"),
)
_SUPABASE = ("SUPABASE_URL", "SUPABASE_KEY")


class GivenServers:
    """A Supabase, where SUPABASE_URL and SUPABASE_KEY are set, and a Redis, where REDIS_HOST is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Of the `env` file of a local stack, known by `LOCAL_STACK`, nothing is used."""
        self.variables: Mapping[str, str] = {} if STACK_VARIABLE in environment else environment
        self.has_supabase = all(self.variables.get(name) for name in _SUPABASE)
        self.has_redis = bool(self.variables.get("REDIS_HOST"))

    @property
    def supabase_url(self) -> str:
        """The given SUPABASE_URL."""
        return self.variables["SUPABASE_URL"]

    @property
    def redis_host(self) -> str:
        """The given REDIS_HOST."""
        return self.variables["REDIS_HOST"]

    def settings(self) -> dict[str, str]:
        """The settings of the functions that are set here."""
        return self._present(_PASSED_ON)

    def supabase(self) -> dict[str, str]:
        """The variables of the given Supabase, and of its database where that is named."""
        return self._present((*_SUPABASE, "DATABASE_URL"))

    def redis(self) -> dict[str, str]:
        """The variables of the given Redis."""
        return {"REDIS_HOST": self.redis_host, "REDIS_PORT": self.variables.get("REDIS_PORT", "6379")}

    def check(self) -> None:
        """Raises `ServerError` for servers that are named only in part or do not answer."""
        missing = [name for name in _SUPABASE if not self.variables.get(name)]
        if len(missing) == 1:
            (present,) = set(_SUPABASE) - set(missing)
            raise ServerError(f"{present} is set and {missing[0]} is not: set both to use that Supabase, or neither.")
        if self.has_supabase:
            url = urlsplit(self.supabase_url)
            port = url.port or (443 if url.scheme == "https" else 80)
            if not url.hostname or not accepts_connections(port, url.hostname, 5):
                raise ServerError(f"SUPABASE_URL is set, and {self.supabase_url} cannot be reached.")
        if self.has_redis:
            text = self.variables.get("REDIS_PORT") or "6379"
            if not text.isdecimal() or not accepts_connections(int(text), self.redis_host, 5):
                raise ServerError(f"REDIS_HOST is set, and nobody answers at {self.redis_host}:{text}.")

    def _present(self, names: tuple[str, ...]) -> dict[str, str]:
        return {name: self.variables[name] for name in names if name in self.variables}
