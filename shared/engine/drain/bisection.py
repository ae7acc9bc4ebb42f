"""Writes many items in one call and finds those that the database refuses, so that they alone are put aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from shared.errors import UnavailableError

Item = TypeVar("Item")


async def write_all(
    items: Sequence[Item],
    write: Callable[[Sequence[Item]], Awaitable[object]],
    put_aside: Callable[[Item, Exception], Awaitable[None]],
) -> None:
    """Returns when each item has been written, or put aside with the error that refused it.

    A call that is refused is repeated with each half on its own. An `UnavailableError`, and whatever `put_aside`
    raises, is raised: then all are to be written again, some of them perhaps for the second time.
    """
    try:
        await write(items)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 -- any error that one item causes is that item's alone
        if len(items) == 1:
            await put_aside(items[0], error)
            return
        middle = len(items) // 2
        await write_all(items[:middle], write, put_aside)
        await write_all(items[middle:], write, put_aside)
