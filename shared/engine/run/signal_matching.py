"""Signals that facts leave open, held against the schemas of the nodes that wait for them: a few at a time."""

from __future__ import annotations

import asyncio

from shared.domain.execution.signals import Signals


async def match_signals(signals: Signals) -> None:
    """Returns when it is known which waiting node takes what has been received.

    One node's look holds the event loop up no longer than an evaluation of an expression may. Of hundreds of nodes
    that wait for the same, each with a large schema, all at once would outlast the locks of every job of the drain.
    """
    while signals.judge_some():  # noqa: ASYNC110  # it waits for nothing: it lets others have their turn
        await asyncio.sleep(0)
