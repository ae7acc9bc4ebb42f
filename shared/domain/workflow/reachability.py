"""The ancestors of each node of a graph, as bit sets: 125 KB for a chain of a thousand nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set


class NodeSet(Set[str]):
    """A set of a graph's nodes, as bits of an integer."""

    __slots__ = ("_bits", "_mask")

    def __init__(self, bits: Mapping[str, int], mask: int) -> None:
        """`bits` has one bit for each node of the graph, `mask` those of the nodes in the set."""
        self._bits, self._mask = bits, mask

    def __contains__(self, name: object) -> bool:
        """Whether the node of this name is in the set."""
        return isinstance(name, str) and bool(self._bits.get(name, 0) & self._mask)

    def __iter__(self) -> Iterator[str]:
        """The nodes in the graph's order."""
        return (name for name, bit in self._bits.items() if bit & self._mask)

    def __len__(self) -> int:
        """How many nodes there are."""
        return self._mask.bit_count()


class Ancestors:
    """The ancestors of every node; a node on a cycle is its own ancestor."""

    __slots__ = ("_bits", "_masks")

    def __init__(self, sources: Mapping[str, Sequence[str]]) -> None:
        """`sources` are the direct predecessors of every node. Visits each edge once."""
        self._bits = {name: 1 << index for index, name in enumerate(sources)}
        self._masks: dict[str, int] = {}
        for members in _components(sources, self._masks):
            mask = 0
            for name in members:
                for source in sources[name]:
                    # A source on the same cycle has no mask yet, and needs none: what it adds is added for itself in
                    # this very mask.
                    mask |= self._bits[source] | self._masks.get(source, 0)
            self._masks.update(dict.fromkeys(members, mask))

    def of(self, node_id: str) -> NodeSet:
        """The ids of all nodes before this one."""
        return NodeSet(self._bits, self._masks[node_id])


def _components(sources: Mapping[str, Sequence[str]], done: Mapping[str, int]) -> Iterator[list[str]]:
    """The strongly connected components (nodes on a common cycle, or single nodes), each after its predecessors.

    The caller adds each to `done`. Tarjan's algorithm without recursion: graphs are deeper than Python's stack.
    """
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []
    for root in sources:
        path = [] if root in numbers else [(root, iter(sources[root]))]
        while path:
            name, rest = path[-1]
            if name not in numbers:
                numbers[name] = lowest[name] = len(numbers)
                open_nodes.append(name)
            # The iterator stays on the path, so that a node continues after its predecessors where it stopped.
            for source in rest:
                if source not in numbers:
                    path.append((source, iter(sources[source])))
                    break
                if source not in done:
                    lowest[name] = min(lowest[name], numbers[source])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                # The first node of its component: all others of it are above it on the stack.
                if lowest[name] == numbers[name]:
                    yield _taken(open_nodes, name)


def _taken(open_nodes: list[str], first: str) -> list[str]:
    members = [open_nodes.pop()]
    while members[-1] != first:
        members.append(open_nodes.pop())
    return members
