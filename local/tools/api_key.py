"""`python -m local api-key`: makes a tenant's first API key; every other one is made through the API.

Reads SUPABASE_URL and SUPABASE_KEY from the environment, as the functions do.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from shared.bootstrap import Services
from shared.commands.api_keys.create_api_key import CreateApiKey, CreatedApiKey, create_api_key
from shared.domain.actor import Actor
from shared.errors import StorageUnavailableError, WorkflowEngineError
from shared.ids import is_uuid, new_id
from shared.repositories.database import Database
from shared.settings import Settings, settings


async def issue(services: Services, tenant_id: str, name: str, role: str = "admin") -> CreatedApiKey:
    """A new key of the tenant, made with the database's service key."""
    command = CreateApiKey.model_validate({"name": name, "role": role})
    return await create_api_key(services, Actor(tenant_id, "system:operator", "admin"), command)


def main(arguments: list[str] | None = None) -> int:
    """0 once the tenant's id and the key are printed; 1 when they cannot be stored; 2 for a tenant that is no UUID."""
    parser = argparse.ArgumentParser(prog="python -m local api-key", description=__doc__)
    parser.add_argument("--tenant", default=new_id(), help="the tenant's UUID; a new tenant when it is left out")
    parser.add_argument("--name", default="first", help="what the key is called in lists")
    parser.add_argument("--role", default="admin", choices=("viewer", "editor", "admin"))
    options = parser.parse_args(arguments)
    if not is_uuid(options.tenant):
        parser.error(f"--tenant must be a UUID in lower case, not {options.tenant!r}")
    try:
        configured = settings()
    except ValueError as error:
        parser.error(str(error))
    try:
        created = asyncio.run(_issue(configured, options.tenant, options.name, options.role))
    except StorageUnavailableError:
        print(f"{configured.supabase_url} cannot be reached.", file=sys.stderr)
        return 1
    except WorkflowEngineError as error:
        print(f"{configured.supabase_url} refused: {error.__cause__ or error}", file=sys.stderr)
        print("Does it have all migrations (`supabase db push`)?", file=sys.stderr)
        return 1
    print(f"TENANT_ID={options.tenant}\nAPI_KEY={created.key}")
    return 0


async def _issue(configured: Settings, tenant_id: str, name: str, role: str) -> CreatedApiKey:
    database = Database(configured.supabase_url, configured.supabase_key)
    try:
        return await issue(Services(database, configured), tenant_id, name, role)
    finally:
        await database.close()
