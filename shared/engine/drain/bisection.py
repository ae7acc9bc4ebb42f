"""Writing many items in one call, of which a single one may be refused: it alone is put aside."""

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
    """Returns when each item has been written, or put aside with the error that refuses it.

    A call that is refused is made again with the halves on their own. What keeps all of them from being written, an
    `UnavailableError` or what `put_aside` raises, is raised; what was written before it may be written again.
    """
    try:
        await write(items)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever one item brings about, it alone is put aside with it
        if len(items) == 1:
            await put_aside(items[0], error)
            return
        middle = len(items) // 2
        await write_all(items[:middle], write, put_aside)
        await write_all(items[middle:], write, put_aside)
