"""The fold of a run's facts, and what the fates rule makes of it."""

from __future__ import annotations

from shared.domain.execution.fold import apply
from shared.domain.execution.node_readiness import decide, outcome, readiness
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.domain.execution.view import view
from shared.domain.workflow.graph import Graph
from shared.domain.workflow.graph_parser import parse_graph
from shared.events.execution import (
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionQueued,
    ExecutionStarted,
    ExecutionSucceeded,
)
from shared.events.facts import ExecutionFact
from shared.events.node import NodeFailed, NodeRetryScheduled, NodeSkipped, NodeStarted, NodeSucceeded

AT = "2026-11-01T00:00:00.000000Z"
LATER = "2026-11-01T02:00:00.000000Z"


def graph(*edges: str, **joins: object) -> Graph:
    """A graph of its edges, each `source>target` or `source.handle>target`, from the trigger `t`."""
    pairs = [edge.split(">") for edge in edges]
    drawn = [
        {"source": s.partition(".")[0], "source_handle": s.partition(".")[2] or "out", "target": t} for s, t in pairs
    ]
    names = dict.fromkeys(name for edge in drawn for name in (edge["source"], edge["target"]))
    nodes = [{"id": name, "type": "transform", "join": joins.get(name, "any")} for name in names]
    found, problems = parse_graph(nodes, drawn)
    assert found is not None, problems
    return found


def after(*facts: ExecutionFact) -> ExecutionState:
    """A run that has started, and then these facts."""
    state = ExecutionState("run", "tenant")
    begun = [ExecutionQueued("workflow", None, {"type": "webhook", "body": {"x": 1}}), ExecutionStarted(3, "t")]
    for fact in (*begun, *facts):
        apply(state, fact, AT)
    return state


def ok(node_id: str, output: object = None, *handles: str, output_of: list[str] | None = None) -> NodeSucceeded:
    """A node that succeeded."""
    return NodeSucceeded(node_id, 1, output, list(handles) or ["out"], 0, [], output_of)


def failed(node_id: str, handled: str = "fail") -> NodeFailed:
    """A node that gave up."""
    return NodeFailed(node_id, 1, {"code": "timeout", "message": "Too late."}, handled, 0)


def test_trigger_is_settled_by_the_start() -> None:
    """The start pins the version and settles the trigger, whose output is the trigger itself."""
    state = after()
    assert (state.status, state.workflow_version, state.nodes["t"].output) == ("running", 3, state.trigger)
    assert decide(graph("t>a", "a>b"), state, ["t"]) == [("a", "ready")]


def test_dead_edge_skips_and_the_skip_goes_on() -> None:
    """With no live edge a node is skipped, which kills its own edges."""
    drawn = graph("t>i", "i.true>a", "a>b", "i.false>c")
    state = after(ok("i", None, "false"))
    assert decide(drawn, state, ["i"]) == [("a", "skipped"), ("c", "ready")]
    apply(state, NodeSkipped("a"), AT)
    assert decide(drawn, state, ["a"]) == [("b", "skipped")]


def test_joins_count_live_edges() -> None:
    """`any` wants one live edge, `all` every one, a number that many; undecided while a predecessor is open."""
    edges = ("t>a", "t>b", "t>c", "a>j", "b>j", "c>j")
    cases = (("any", "ready"), ("all", "skipped"), ({"n": 2}, "ready"), ({"n": 3}, "skipped"))
    for join, expected in cases:
        drawn = graph(*edges, j=join)
        state = after(ok("a"), ok("b"))
        assert readiness(drawn, state, "j") is None
        apply(state, failed("c"), AT)
        assert readiness(drawn, state, "j") == expected


def test_failure_fails_the_run_with_the_first_error_in_the_graphs_order() -> None:
    """Whichever branch failed first, the run's error is the same."""
    drawn = graph("t>a", "t>b")
    for order in ((failed("a"), failed("b")), (failed("b"), failed("a"))):
        assert outcome(drawn, after(*order)) == ExecutionFailed(
            {"code": "timeout", "message": "Too late.", "node_id": "a"}
        )


def test_handled_failures_go_on() -> None:
    """`continue` keeps `out` alive, `route` the `error` handle; the output is the error."""
    drawn = graph("t>a", "a>b", "a.error>c")
    assert decide(drawn, after(failed("a", "continue")), ["a"]) == [("b", "ready"), ("c", "skipped")]
    routed = after(failed("a", "route"))
    assert decide(drawn, routed, ["a"]) == [("b", "skipped"), ("c", "ready")]
    assert routed.joined_output(["a"]) == {"code": "timeout", "message": "Too late."}


def test_output_is_the_only_leaf_or_all_by_name() -> None:
    """Of several leaves those that ran count."""
    drawn = graph("t>i", "i.true>a", "i.false>b")
    one = after(ok("i", None, "true"), ok("a", 1), NodeSkipped("b"))
    both = after(ok("i", None, "true", "false"), ok("a", 1), ok("b", 2))
    assert outcome(drawn, one) == ExecutionSucceeded(1)
    assert outcome(drawn, both) == ExecutionSucceeded({"a": 1, "b": 2})


def test_passed_on_output_is_resolved() -> None:
    """A node that passes its input on stores the names of its predecessors alone."""
    state = after(ok("a", {"big": 1}), ok("b", None, output_of=["a"]), ok("c", None, output_of=["a", "b"]))
    assert state.nodes["b"].output == {"big": 1}
    assert state.nodes["c"].output == {"a": {"big": 1}, "b": {"big": 1}}


def test_run_waits_while_only_timers_are_left() -> None:
    """A retry timer makes a run wait, and its row wakes then; the next start makes it run again."""
    start = NodeStarted("a", 1, "key", {"url": "x"}, 0)
    retry = NodeRetryScheduled("a", 1, {"code": "timeout", "message": ""}, 7200.0, LATER)
    state = after(start, retry)
    assert (state.status, row(state)["wake_at"]) == ("waiting", LATER)
    apply(state, NodeStarted("a", 2, "key", {"url": "x"}, 0), LATER)
    assert (state.status, state.nodes["a"].attempts) == ("running", 2)


def test_end_cancels_what_was_under_way() -> None:
    """A cancelled run has no wake-up, and its running nodes are cancelled."""
    state = after(NodeStarted("a", 1, "key", {}, 0), ExecutionCancelled("enough"))
    assert (state.status, row(state)["wake_at"], state.nodes["a"].status) == ("cancelled", None, "cancelled")


def test_row_holds_nothing_of_the_body() -> None:
    """The read model names the trigger; what came with it is in the events."""
    assert row(after())["trigger"] == {"type": "webhook"}


def test_view_shows_each_node() -> None:
    """A node as the API shows it."""
    shown = view(after(ok("a", 5, "true")))["nodes"]["a"]
    assert (shown["status"], shown["attempts"], shown["output"], shown["handle"]) == ("succeeded", 1, 5, "true")
    assert shown["finished_at"] == AT
