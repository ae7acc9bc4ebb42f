"""Runs Lua scripts: all calls of one event-loop tick in one pipeline; scripts that Redis forgot are loaded again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Call = tuple[str, int, tuple[Any, ...]]


class ScriptRunner:
    """Calls scripts by name.

    Dozens of runs finish and fetch jobs at once; sending what one tick of the event loop collected as one pipeline
    costs a third of a round trip each. The order of calls within a tick is kept, and no call waits for a later tick.
    """

    def __init__(self, client: Redis, sources: Mapping[str, str]) -> None:
        """`sources` are the scripts' texts by name."""
        self._client = client
        self._sources = dict(sources)
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in sources.items()
        }
        self._waiting: list[tuple[str, Call, asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[list[Any]]] = set()

    def call(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any]:
        """The script's answer, to be awaited; it is sent at the end of this tick."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append((name, (self._digests[name], len(keys), (*keys, *arguments)), answer))
        return answer

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run([(name, call) for name, call, _ in batch]))
        self._sending.add(task)
        task.add_done_callback(partial(self._settle, [answer for _, _, answer in batch]))

    def _settle(self, answers: list[asyncio.Future[Any]], task: asyncio.Task[list[Any]]) -> None:
        self._sending.discard(task)
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        results = [failure] * len(answers) if failure is not None else task.result()
        for answer, result in zip(answers, results, strict=True):
            if answer.done():  # its caller has given up waiting
                continue
            if isinstance(result, asyncio.CancelledError):
                answer.cancel()
            elif isinstance(result, BaseException):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    async def _run(self, calls: list[tuple[str, Call]]) -> list[Any]:
        results = await self._pipeline([call for _, call in calls])
        # A server that was restarted or failed over has lost its scripts, and a pipeline does not load them again by
        # itself. A script that is unknown has done nothing, so calling it again is safe.
        unknown = [place for place, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            await self._load({calls[place][0] for place in unknown})
            again = await self._pipeline([calls[place][1] for place in unknown])
            for place, result in zip(unknown, again, strict=True):
                results[place] = result
        return results

    async def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for digest, key_count, rest in calls:
                pipeline.execute_command("EVALSHA", digest, key_count, *rest)
            return list(await pipeline.execute(raise_on_error=False))

    async def _load(self, names: set[str]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.execute_command("SCRIPT LOAD", self._sources[name])
            await pipeline.execute()
