"""Lines for the ledger: intake leaves them in Redis, a drain writes them. Floods become counts."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from redis.asyncio import Redis

from shared.queue.connection import in_our_terms
from shared.queue.keys import OwnKeys

# A webhook's lines in one minute; what is beyond is counted, so that an attacker fills no disk.
LINES_PER_MINUTE = 60
# All lines that wait; a drain that stays away must not fill Redis.
MAX_WAITING = 10_000
BATCH = 200
WRITER_SECONDS = 15
# A delivery that is refused is answered no later for being noted.
NOTE_TIMEOUT_SECONDS = 0.5

_NOTE = """
local n = redis.call("INCR", KEYS[3])
if n == 1 then redis.call("EXPIRE", KEYS[3], 60) end
if n > tonumber(ARGV[2]) or redis.call("LLEN", KEYS[1]) >= tonumber(ARGV[3]) then
  redis.call("HINCRBY", KEYS[2], ARGV[4], 1)
  return 0
end
redis.call("RPUSH", KEYS[1], ARGV[1])
return 1
"""
_FINISH = """
if redis.call("GET", KEYS[3]) ~= ARGV[1] then return 0 end
redis.call("LTRIM", KEYS[1], ARGV[2], -1)
for i = 3, #ARGV, 2 do
  if redis.call("HINCRBY", KEYS[2], ARGV[i], -tonumber(ARGV[i + 1])) <= 0 then redis.call("HDEL", KEYS[2], ARGV[i]) end
end
redis.call("DEL", KEYS[3])
return 1
"""


class Ledger:
    """The lines. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Uses the queue's client."""
        self._client = client
        self._keys = keys

    async def note(self, row: dict[str, Any]) -> None:
        """Leaves a row of `webhook_deliveries`, with its `body` in base64 where that is kept."""
        minute = int(time.time()) // 60 * 60
        field = f"{row['tenant_id']} {row['webhook_id']} {row['verdict']} {minute}"
        text = json.dumps(row, separators=(",", ":"))
        keys = (self._keys.ledger, self._keys.ledger_counts, self._keys.noted(row["webhook_id"]))
        with in_our_terms():
            async with asyncio.timeout(NOTE_TIMEOUT_SECONDS):
                await self._client.eval(_NOTE, 3, *keys, text, LINES_PER_MINUTE, MAX_WAITING, field)

    async def take_notes(self, writer: str) -> tuple[list[dict[str, Any]], dict[str, int]] | None:
        """Lines and counts to be written by `writer` alone; `None` while another writes, or when there are none."""
        with in_our_terms():
            if not await self._client.set(self._keys.ledger_writer, writer, nx=True, ex=WRITER_SECONDS):
                return None
            lines: Any = await self._client.lrange(self._keys.ledger, 0, BATCH - 1)
            counts: Any = await self._client.hgetall(self._keys.ledger_counts)
            if not lines and not counts:
                await self._client.delete(self._keys.ledger_writer)
                return None
        return [json.loads(line) for line in lines], {field: int(n) for field, n in counts.items()}

    async def finish_notes(self, writer: str, lines: int, counts: dict[str, int]) -> None:
        """Forgets what has been written. A writer that took too long forgets nothing: its rows are there, and writing
        them again changes nothing."""
        keys = (self._keys.ledger, self._keys.ledger_counts, self._keys.ledger_writer)
        pairs = [part for field, count in counts.items() for part in (field, count)]
        with in_our_terms():
            await self._client.eval(_FINISH, 3, *keys, writer, lines, *pairs)
