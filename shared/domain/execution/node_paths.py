"""The path of a node in a run: its id, or within a map's items a path such as `each[3].charge`.

Ids have no brackets, so paths are unambiguous; in nested maps they read `outer[2].inner[5].charge`. The part before the
node's own id, `each[3].`, is the prefix: all nodes of one item share it.
"""

from __future__ import annotations


def split_path(path: str) -> tuple[str, str]:
    """The prefix (empty outside of every map) and the node's own id."""
    prefix, bracket, node_id = path.rpartition("].")
    return prefix + bracket, node_id


def item_prefix(map_path: str, index: int) -> str:
    """The prefix of the nodes of one item (from 0) of the map at this path."""
    return f"{map_path}[{index}]."


def item_of(prefix: str) -> tuple[str, int]:
    """The map's path and the item's index in a prefix, which must not be empty."""
    map_path, _, index = prefix[:-2].rpartition("[")
    return map_path, int(index)
