"""Attacks by what a tenant saves and sends: values, schemas, expressions, patterns, bodies."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import Any

from shared.json_types import JsonObject
from tests.bench.attacker import Attacker, Node, counted, node
from tests.custom_scheme import ASKED, SCHEME

TRIGGER = node("start", "manual_trigger")
HOOK = node("hook", "webhook_trigger")
# Runs into the limit of one second that an evaluation has.
SLOW = "{% $sum([1..9999].($sum([1..9999]))) %}"
LARGE_BYTES = 4_400_000  # a delivery may have 4.5 MB


async def ordinary_deliveries(attacker: Attacker, connections: int = 10, per_second: float = 5) -> str:
    """No attack: a tenant that behaves like the measured one, to show the cost of sharing this machine's processors."""
    main = node("main", "if", {"condition": "{% $trigger.body.ref = 'main' %}"})
    short = node("short", "transform", {"value": {"by": "{% $trigger.body.by %}"}})
    path = await attacker.webhook(await attacker.publish(HOOK, main, short))
    bodies = (b'{"ref":"main","by":%d}' % number for number in count())
    attacker.begin()
    return await attacker.storm(lambda: attacker.deliver(path, next(bodies)), connections, per_second)


async def deep_value(attacker: Attacker) -> str:
    """Outputs that grow by a level per node until they are as deep as the recursion limit of code that copies them."""
    value: Any = {"x": 1}
    for _ in range(90):
        value = [value]
    # How deep is too deep differs between versions of Python.
    workflows = [await attacker.publish(*_nesting(levels)) for levels in (600, 903)]
    attacker.begin()
    return await attacker.ended([await attacker.execute(workflow, value) for workflow in workflows])


def _nesting(levels: int) -> list[JsonObject]:
    deeper = [node(f"n{number}", "transform", {"value": ["{% $input %}"]}) for number in range(levels)]
    return [TRIGGER, *deeper, node("read", "transform", {"value": "{% $input.x %}"})]


async def poisoned_ledger_line(attacker: Attacker) -> str:
    """A filter that is plain ASCII and yields NUL as the reason of a line in the delivery log."""
    workflow = await attacker.publish(HOOK, node("end", "transform", {"value": 1}))
    path = await attacker.webhook(workflow, filter=r"{% $error('\u0000') %}")
    bodies = (b"[%d]" % number for number in count())
    attacker.begin()
    return await attacker.storm(lambda: attacker.deliver(path, next(bodies)), connections=1, per_second=5)


async def hostile_handshake(attacker: Attacker) -> str:
    """A regular expression with exponential time, on text of a request that nobody has signed."""
    workflow = await attacker.publish(HOOK, node("end", "transform", {"value": 1}))
    path = await attacker.webhook(
        workflow,
        "custom",
        scheme=SCHEME,
        handshake=[{**ASKED, "pattern": {"query:c": "(a+)+$"}}],
    )
    attacker.begin()
    return await attacker.storm(lambda: attacker.api.get(path, params={"c": "a" * 26 + "!"}), connections=4)


async def signal_against_a_large_enum(attacker: Attacker, members: int = 6_000) -> str:
    """A schema whose check takes its size times the signal's."""
    schema = {"type": "array", "items": {"enum": list(range(members))}}
    wait = node("wait", "wait_for_signal", {"name": "go", "schema": schema})
    workflow = await attacker.publish(TRIGGER, node("pause", "delay", {"seconds": 2}), wait)
    attacker.begin()
    run = await attacker.execute(workflow)
    # Before the run waits for it: such a signal is not judged where it is received.
    sent = await attacker.api.post(f"/api/executions/{run}/signals/go", json={"payload": [members - 1] * members})
    return f"signal {sent.status_code}; " + await attacker.ended([run])


async def input_against_many_required_names(attacker: Attacker) -> str:
    """An input every item of which lacks every name."""
    item = {"type": "object", "required": [f"name{number}" for number in range(200)]}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    trigger = node("start", "manual_trigger", {"input_schema": schema})
    workflow = await attacker.publish(trigger, node("end", "transform", {"value": 1}))
    wanted: Any = {"input": {"items": [{}] * 3_000}}
    attacker.begin()
    return await attacker.storm(
        lambda: attacker.api.post(f"/api/workflows/{workflow}/execute", json=wanted), connections=4
    )


async def large_deliveries(attacker: Attacker) -> str:
    """Bodies as large as are taken, of as many values as fit."""
    return await _deliver_large(attacker)


async def large_runs_that_wait(attacker: Attacker) -> str:
    """The same with runs that are read from the store again whenever they continue."""
    waits = [node(f"wait_{number}", "delay", {"seconds": 3}) for number in range(2)]
    return await _deliver_large(attacker, *waits)


async def _deliver_large(attacker: Attacker, *waits: Node, deliveries: int = 16) -> str:
    rows = node("rows", "transform", {"value": "{% $count($trigger.body) %}"})
    path = await attacker.webhook(await attacker.publish(HOOK, *waits, rows))
    body = b"[" + b",".join([b"[[],[],[],[]]"] * (LARGE_BYTES // 14)) + b"]"
    attacker.begin()
    # Each another delivery, by one space more.
    answers = await asyncio.gather(*(attacker.deliver(path, body + b" " * number) for number in range(deliveries)))
    taken = [answer.json()["execution_id"] for answer in answers if answer.status_code == 202]
    statuses = Counter(str(answer.status_code) for answer in answers)
    return f"{counted(statuses)}; " + await attacker.ended(taken)


async def slow_expressions_in_a_map(attacker: Attacker) -> str:
    """One run with a hundred seconds of evaluation."""
    slow = {"nodes": [node("slow", "transform", {"value": SLOW})]}
    items = {"items": list(range(100)), "max_concurrency": 100, "tolerated_failure_count": 100, "body": slow}
    workflow = await attacker.publish(TRIGGER, node("each", "map", items))
    attacker.begin()
    return await attacker.ended([await attacker.execute(workflow)])


async def wide_map(attacker: Attacker, runs: int = 2, items: int = 10_000) -> str:
    """As many items as a map may have."""
    body = {"nodes": [node("double", "transform", {"value": "{% $item * 2 %}"})]}
    wide = {"items": f"{{% [1..{items}] %}}", "max_concurrency": 100, "body": body}
    workflow = await attacker.publish(TRIGGER, node("each", "map", wide))
    attacker.begin()
    return await attacker.ended(await attacker.execute_many(workflow, runs))


async def runs_that_call_themselves(attacker: Attacker, items: int = 1_000) -> str:
    """One run of a map whose items call its own workflow, ten deep."""
    graph = {"name": "attack", "nodes": [TRIGGER], "edges": []}
    workflow = (await attacker.api.post("/api/workflows", json=graph)).raise_for_status().json()["id"]
    parameters = {"items": f"{{% [1..{items}] %}}", "max_concurrency": 100, "workflow_id": workflow}
    edges = [{"source": "start", "target": "each"}]
    again = {**graph, "nodes": [TRIGGER, node("each", "map", parameters)], "edges": edges}
    (await attacker.api.put(f"/api/workflows/{workflow}", json=again)).raise_for_status()
    (await attacker.api.post(f"/api/workflows/{workflow}/publish")).raise_for_status()
    attacker.begin()
    return await attacker.ended([await attacker.execute(workflow)])


async def drafts_of_names_that_are_alike(attacker: Attacker) -> str:
    """Edges to nodes that are not there, each compared with a thousand that are."""
    nodes = [TRIGGER, *(node("ab" * 46 + f"{number:03}", "merge") for number in range(999))]
    edges = [{"source": "start", "target": "ba" * 46 + f"{number:03}"} for number in range(999)]
    wanted = {"nodes": nodes, "edges": edges}
    attacker.begin()
    return await attacker.storm(lambda: attacker.api.post("/api/workflows/validate", json=wanted), connections=2)
