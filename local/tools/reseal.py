"""`python -m local reseal [--check]`: encrypts stored secrets again, under the newest of the configured keys.

`SECRETS_KEY` (or the secret in Secrets Manager) holds the new key first and the old ones after it. Traffic goes on
meanwhile. May be stopped and started again at any time: a row is written only while it still holds what was read.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from httpx import TransportError
from postgrest import APIError

from local.tools.rebuild import PAGE, connect
from shared.aws.secrets import decrypt, encrypt, newest_key_id
from shared.domain import secret
from shared.domain.webhook import provider_rules
from shared.errors import SecretUnreadableError, UnavailableError
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from supabase import Client

# Table and column of everything that is encrypted, and the column that names its encryption context with the tenant.
SEALED = (
    ("webhooks", "secret", "id", provider_rules.secret_context),
    ("webhooks", "previous_secret", "id", provider_rules.secret_context),
    ("secrets", "value", "name", secret.secret_context),
)


@dataclass(slots=True)
class Outcome:
    """How many values were encrypted again, how many are still under another key, and which no key opens."""

    written: int = 0
    left: int = 0
    unreadable: list[str] = field(default_factory=list)


def main(argv: list[str]) -> int:
    """0 when everything is under the newest key; 1 when some is not, with what and why; 2 when a key or the database
    is missing, unreachable or refuses."""
    parser = argparse.ArgumentParser(prog="python -m local reseal", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where another key is still in use")
    parser.add_argument("--url", default=os.environ.get("SUPABASE_URL"), help="default: $SUPABASE_URL")
    parser.add_argument("--key", default=os.environ.get("SUPABASE_KEY"), help="the service key; default: $SUPABASE_KEY")
    arguments = parser.parse_args(argv)
    if not arguments.url or not arguments.key:
        parser.error("set SUPABASE_URL and SUPABASE_KEY, say by `. .local/env`, or give --url and --key")
    try:
        with connect(arguments.url, arguments.key) as client:
            outcome = asyncio.run(reseal(client, writes=not arguments.check))
    except (TransportError, UnavailableError, ValueError) as error:
        print(f"reseal: {error}", file=sys.stderr)
        return 2
    except APIError as error:
        print(f"reseal: {arguments.url} refused: {error.message}", file=sys.stderr)
        return 2
    for place in outcome.unreadable:
        print(f"reseal: {place} is under none of the configured keys", file=sys.stderr)
    if not arguments.check:
        print(f"reseal: {outcome.written} values encrypted again")
    if outcome.left or outcome.unreadable:
        print(f"reseal: {outcome.left + len(outcome.unreadable)} values are under another key", file=sys.stderr)
        return 1
    print("reseal: every secret is under the newest key; the others may be taken away")
    return 0


async def reseal(client: Client, *, writes: bool = True) -> Outcome:
    """Encrypts every value that is not under the newest key again; without `writes` it counts them as left."""
    outcome, newest = Outcome(), await newest_key_id()
    for table, column, name, context in SEALED:
        for row in _under_others(client, table, column, name, newest):
            place = f"{table} {row['id']}: {column}"
            try:
                text = await decrypt(row[column], context(row["tenant_id"], row[name]))
            except SecretUnreadableError:
                outcome.unreadable.append(place)
                continue
            sealed = await encrypt(text, context(row["tenant_id"], row[name])) if writes else None
            if sealed is not None and _replaced(client, table, column, row, sealed):
                outcome.written += 1
            else:
                outcome.left += 1
    return outcome


def _under_others(client: Client, table: str, column: str, name: str, newest: str) -> Iterator[JsonObject]:
    """The rows whose value is under another key than the newest, by id, as they are when their page is read."""
    after = "00000000-0000-0000-0000-000000000000"
    while True:
        query = client.table(table).select(",".join({"id", "tenant_id", name, column})).gt("id", after)
        others = query.not_.is_(column, "null").not_.like(column, f"v1:{newest}:%")
        rows: Any = others.order("id").limit(PAGE).execute().data
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


def _replaced(client: Client, table: str, column: str, row: JsonObject, sealed: str) -> bool:
    """Whether the row still held the value that was read: a secret that was rotated meanwhile stays as it is now."""
    same = client.table(table).update({column: sealed}).eq("id", row["id"]).eq(column, row[column])
    return bool(same.execute().data)
