"""The stack's first tenant: made at the first start, and kept in the stack's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local.stack.process import ROOT, ServerError
from shared.ids import new_id


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its API key."""

    tenant_id: str
    api_key: str


def create_tenant(environment: Mapping[str, str], name: str, tenant_id: str | None = None) -> Tenant:
    """A tenant, new unless `tenant_id` names one, with a new API key of the role admin.

    `environment` names the database. Raises `ServerError` when the key cannot be made.
    """
    command = [sys.executable, "-m", "local", "api-key", "--name", name, "--tenant", tenant_id or new_id()]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"The API key could not be made:\n{done.stderr.strip()}")
    printed = dict(line.split("=", 1) for line in done.stdout.split())
    return Tenant(printed["TENANT_ID"], printed["API_KEY"])


def read_tenant(file: Path, database: str) -> Tenant | None:
    """The tenant of an earlier start over the same database; None where there is none."""
    try:
        stored = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return Tenant(stored["tenant_id"], stored["api_key"]) if stored.get("database") == database else None


def write_tenant(file: Path, database: str, tenant: Tenant) -> None:
    """Keep the tenant for the next start."""
    write_private(file, json.dumps({"database": database, **asdict(tenant)}))


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read. Nobody sees it empty or half written: it appears whole."""
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.touch(mode=0o600)
    whole.write_text(text)
    whole.replace(path)
