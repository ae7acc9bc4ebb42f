"""Which nodes come before which."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.workflow.graph import MAX_EDGES, MAX_NODES, Edge, Graph, Node
from shared.domain.workflow.reachability import Ancestors

NAMES = st.sampled_from("abcdefgh")


def walked(sources: dict[str, list[str]], node_id: str) -> set[str]:
    """Every node before this one, by walking back from it."""
    found: set[str] = set()
    open_nodes = [node_id]
    while open_nodes:
        news = set(sources[open_nodes.pop()]) - found
        found |= news
        open_nodes += news
    return found


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4)))
def test_ancestors_are_what_a_walk_back_finds(graph: dict[str, list[str]]) -> None:
    """In any graph, with any cycles, the nodes before a node are those that a walk along the edges reaches."""
    sources = {name: [source for source in found if source in graph] for name, found in graph.items()}
    ancestors = Ancestors(sources)

    for name in sources:
        found = ancestors.of(name)
        assert found == walked(sources, name)
        assert [one in found for one in sources] == [one in walked(sources, name) for one in sources]
        assert len(found) == len(list(found))


def test_ancestors_of_the_largest_graph_take_little() -> None:
    """A thousand nodes that all follow each other, by four thousand edges, take some hundred kilobytes, not twenty
    megabytes; a node that is not there is no ancestor."""
    nodes = [Node(f"n{index}", "transform", {}) for index in range(MAX_NODES)]
    near = [(start, start + step) for step in range(1, 5) for start in range(MAX_NODES - step)][:MAX_EDGES]
    # Last nodes first: the order of the nodes is not that of the run.
    graph = Graph(nodes[::-1], [Edge(f"e{at}", f"n{source}", f"n{target}") for at, (source, target) in enumerate(near)])

    tracemalloc.start()
    sizes = [len(graph.ancestors(node.id)) for node in nodes]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sizes == list(range(MAX_NODES))
    assert kept < 1_000_000
    assert "elsewhere" not in graph.ancestors("n5")
