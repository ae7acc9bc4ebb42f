"""All environment variables that the service reads, as one typed, immutable value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple


class Settings(NamedTuple):
    """The environment's settings. Unset ones have the defaults shown; a malformed number raises `ValueError`."""

    supabase_url: str
    supabase_key: str
    redis_host: str = "127.0.0.1"
    redis_port: int = 6379
    redis_password: str | None = None
    redis_tls: bool = False
    queue_name: str = "executions"
    # The braces put all keys of the queue into one slot, as Redis Cluster (ElastiCache Serverless) requires.
    queue_prefix: str = "{bull}"
    secrets_key: str | None = None
    secrets_key_arn: str | None = None
    drain_function_name: str | None = None
    drain_concurrency: int = 64
    max_drains: int = 32
    drain_linger_seconds: float = 5.0
    lock_seconds: float = 15.0
    lease_seconds: float = 60.0
    run_max_facts: int = 100_000
    run_max_bytes: int = 67_108_864
    drain_max_bytes: int = 67_108_864
    delivery_memory_seconds: int = 86_400
    tenant_deliveries_per_second: int = 0
    tenant_max_waits: int = 50
    outbound_allow: tuple[str, ...] = ()
    aws_allow: tuple[str, ...] = ()
    public_url: str | None = None
    jwks_url: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """The settings in `environment`; a missing SUPABASE_URL or SUPABASE_KEY raises a `ValueError` that names it."""
        read = environment.get
        for name in ("SUPABASE_URL", "SUPABASE_KEY"):
            if not read(name):
                raise ValueError(f"The environment variable {name} is not set.")
        return cls(
            supabase_url=environment["SUPABASE_URL"].rstrip("/"),
            supabase_key=environment["SUPABASE_KEY"],
            redis_host=read("REDIS_HOST") or "127.0.0.1",
            redis_port=_number(environment, "REDIS_PORT", 6379),
            redis_password=read("REDIS_PASSWORD") or None,
            redis_tls=read("REDIS_TLS", "") in ("1", "true"),
            queue_name=read("QUEUE_NAME") or "executions",
            queue_prefix=read("QUEUE_PREFIX") or "{bull}",
            secrets_key=read("SECRETS_KEY") or None,
            secrets_key_arn=read("SECRETS_KEY_ARN") or None,
            drain_function_name=read("DRAIN_FUNCTION_NAME") or None,
            drain_concurrency=_number(environment, "DRAIN_CONCURRENCY", 64),
            max_drains=_number(environment, "MAX_DRAINS", 32, at_least=1),
            drain_linger_seconds=_decimal(environment, "DRAIN_LINGER_SECONDS", 5.0),
            lock_seconds=_decimal(environment, "LOCK_SECONDS", 15.0),
            lease_seconds=_decimal(environment, "LEASE_SECONDS", 60.0),
            run_max_facts=_number(environment, "RUN_MAX_FACTS", 100_000, at_least=1),
            run_max_bytes=_number(environment, "RUN_MAX_BYTES", 67_108_864, at_least=1),
            drain_max_bytes=_number(environment, "DRAIN_MAX_BYTES", 67_108_864, at_least=1),
            delivery_memory_seconds=_number(environment, "DELIVERY_MEMORY_SECONDS", 86_400),
            tenant_deliveries_per_second=_number(environment, "TENANT_DELIVERIES_PER_SECOND", 0),
            tenant_max_waits=_number(environment, "TENANT_MAX_WAITS", 50, at_least=0),
            outbound_allow=_words(environment, "OUTBOUND_ALLOW"),
            aws_allow=_words(environment, "AWS_ALLOW"),
            public_url=(read("PUBLIC_URL") or "").rstrip("/") or None,
            jwks_url=read("JWKS_URL") or None,
        )


def _words(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple((environment.get(name) or "").replace(",", " ").split())


def _number(environment: Mapping[str, str], name: str, default: int, at_least: int | None = None) -> int:
    text = environment.get(name) or str(default)
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"The environment variable {name} must be a whole number, not {text!r}.") from None
    if at_least is not None and number < at_least:
        raise ValueError(f"The environment variable {name} must be at least {at_least}, not {number}.")
    return number


def _decimal(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"The environment variable {name} must be a number, not {text!r}.") from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.from_environment(os.environ)
