"""Lua scripts, ours and BullMQ's, and how they are run: all calls of one event-loop tick in one pipeline.

A script that the server does not know (any more) is loaded and called again. A server that is no primary any more is
left for the one that is.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import math
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

# The longest that one pipeline may take; most callers give up earlier.
TIMEOUT_SECONDS = 10
# How many connections are held between calls instead of going back to the pool; a tick's calls take one.
MAX_IDLE = 4


class Script(NamedTuple):
    """A script's text, and the SHA-1 of that, by which the server knows it once it has been loaded."""

    text: str
    sha1: str

    @classmethod
    def of(cls, text: str) -> Script:
        """The script with this text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def own_script(name: str) -> Script:
    """Our script `lua/<name>.lua`. Where it says `--<name>` it includes another: ours for taking tokens, or BullMQ's
    for adding a job."""
    text = _own_text(name)
    if "--<take_tokens>" in text:
        text = text.replace("--<take_tokens>", _own_text("take_tokens"))
    if "--<addStandardJob-9.lua>" in text:
        text = text.replace("--<addStandardJob-9.lua>", _bullmq_text("addStandardJob-9.lua"))
    return Script.of(text)


@cache
def bullmq_script(file: str) -> Script:
    """BullMQ's script in the file of this name, like `moveToFinished-14.lua`; its package is not imported."""
    return Script.of(_bullmq_text(file))


def _own_text(name: str) -> str:
    return (Path(__file__).parent / "lua" / f"{name}.lua").read_text("utf-8")


def _bullmq_text(file: str) -> str:
    package = importlib.util.find_spec("bullmq")
    assert package is not None, "bullmq is a dependency"
    assert package.origin is not None, "a package has a file"
    return (Path(package.origin).parent / "commands" / file).read_text("utf-8")


class ScriptRunner:
    """Calls scripts. One per process, for the producer, the consumer and the drains' presence share round trips.

    Dozens of runs finish and fetch jobs at once; sending what one tick of the event loop collected as one pipeline
    costs a third of a round trip each. The order of calls within a tick is kept, and no call waits for a later tick.
    """

    def __init__(self, client: Redis) -> None:
        """Takes its connections from the client's pool, and belongs to the client's event loop."""
        self._pool: Any = client.connection_pool
        self._idle: list[AbstractConnection] = []
        self._waiting: list[tuple[Script, bytes, asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[list[Any]]] = set()

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any]:
        """The script's answer, to be awaited; it is sent at the end of this tick."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        packed = _packed("EVALSHA", script.sha1, len(keys), *keys, *arguments)
        self._waiting.append((script, packed, answer))
        return answer

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run([(script, packed) for script, packed, _ in batch]))
        self._sending.add(task)
        answers = [answer for _, _, answer in batch]
        task.add_done_callback(partial(self._settle, answers))
        for answer in answers:
            answer.add_done_callback(partial(_give_up, task, answers))

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

    async def _run(self, calls: list[tuple[Script, bytes]]) -> list[Any]:
        results = await self._exchange([packed for _, packed in calls])
        # A server that was the primary until a moment ago has done nothing; its name leads to another by now.
        refused = [place for place, result in enumerate(results) if isinstance(result, ReadOnlyError)]
        if refused:
            await self._drop_idle()
            await self._call_again(calls, results, refused)
        # A server that was restarted or failed over has lost its scripts, and a pipeline does not load them again by
        # itself. A script that is unknown has done nothing, so calling it again is safe.
        unknown = [place for place, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            scripts = {calls[place][0] for place in unknown}
            await self._exchange([_packed("SCRIPT", "LOAD", script.text) for script in scripts])
            await self._call_again(calls, results, unknown)
        return results

    async def _call_again(self, calls: list[tuple[Script, bytes]], results: list[Any], places: list[int]) -> None:
        again = await self._exchange([calls[place][1] for place in places])
        for place, result in zip(places, again, strict=True):
            results[place] = result

    async def _exchange(self, commands: list[bytes]) -> list[Any]:
        """The answers to the commands, error replies among them. Repeated once on a new connection: those at hand may
        have died while the function was frozen."""
        try:
            return await self._exchange_once(commands)
        except RedisConnectionError:
            # The server may have run the commands before the connection broke, and runs them a second time now. An add
            # finds its job or its own claim, and an acknowledgement finds its job gone. A job that the lost answer had
            # claimed is put back in line once its lock expires.
            await self._drop_idle()
            return await self._exchange_once(commands)

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._discard(self._idle.pop())

    async def _exchange_once(self, commands: list[bytes]) -> list[Any]:
        # redis-py's own pipeline packs in Python, sets two timers per answer and asks the pool's lock each time: three
        # times the CPU of this.
        connection = self._idle.pop() if self._idle else await self._pool.get_connection()
        whole = False
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await connection.send_packed_command(b"".join(commands))
                answers = [await _answer(connection) for _ in commands]
            # A connection to a server that takes no writes would be refused for ever, wherever its name leads now.
            whole = not any(isinstance(answer, ReadOnlyError) for answer in answers)
        finally:
            if not whole:  # what may still come on it would be taken for the next caller's answer
                await self._discard(connection)
            elif len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
            else:
                await self._pool.release(connection)
        return answers

    async def _discard(self, connection: AbstractConnection) -> None:
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)


def _give_up(task: asyncio.Task[object], answers: Sequence[asyncio.Future[Any]], _: asyncio.Future[Any]) -> None:
    """Cancels a pipeline once all its callers have given up: a server that hangs must not keep the connection."""
    if not task.done() and all(answer.done() for answer in answers):
        task.cancel()


def _packed(*command: Any) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed


async def _answer(connection: AbstractConnection) -> object:
    try:
        # The pipeline has one timeout as a whole: see `_exchange_once`.
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error
