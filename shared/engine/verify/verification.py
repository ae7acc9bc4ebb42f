"""Verifies that a run follows from its inputs: every decision and every pure output is derived again from its events.

Event by event, the fact that today's code would have recorded is compared with the recorded one. Inputs from outside
are taken as recorded (see `derivation`). Of an error the code is compared, not its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.execution.fold import apply, execution_fact
from shared.domain.execution.state import ExecutionState
from shared.domain.json.values import same_json
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.verify.context import UnderivableError
from shared.engine.verify.derivation import Derivation
from shared.errors import UnprocessableError
from shared.events.codec import BOUNDED_OUTPUTS_VERSION, encode, event_type
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject

# An HTTP API gives up after 30 seconds, in which the events are read as well. A run of 30,000 takes some ten.
LONGEST_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that does not follow from the run's inputs. `expected` is unset where no such fact may stand."""

    event: RecordedEvent
    expected: JsonObject | None
    reason: str

    def as_json(self) -> JsonObject:
        """`{sequence_number, stream_version, event_type, node_id, reason, expected, recorded}`."""
        event = self.event
        return {
            "sequence_number": event.sequence_number,
            "stream_version": event.stream_version,
            "event_type": event.event_type,
            "node_id": event.payload.get("node_id"),
            "reason": self.reason,
            "expected": self.expected,
            "recorded": event.payload,
        }


async def first_difference(
    events: Iterable[RecordedEvent], program: CompiledWorkflow | None, evaluator: ExpressionEvaluator
) -> Difference | None:
    """The first event that today's code would not have recorded there; `None` where all of them match.

    A run so long that this takes more than `LONGEST_SECONDS`, or nested deeper than values can be compared, raises
    `UnprocessableError`.
    `program` is the compiled version on which the run was started; `None` for a run that never started.
    """
    verification: _Verification | None = None
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            for event in events:
                verification = verification or _Verification(event, program, evaluator)
                difference = await verification.difference(event)
                if difference is not None:
                    return difference
    except TimeoutError as error:
        raise UnprocessableError("The execution has more events than can be derived again within a request.") from error
    except RecursionError as error:  # recorded before outputs had a greatest depth
        raise UnprocessableError("The execution holds values that are nested too deeply to be compared.") from error
    finally:
        if verification is not None:
            verification.close()
    return None


class _Verification:
    """The verification of one run, with its state after the events so far."""

    def __init__(self, first: RecordedEvent, program: CompiledWorkflow | None, evaluator: ExpressionEvaluator) -> None:
        self._state = ExecutionState(first.stream_id, first.tenant_id)
        self._node_inputs = NodeInputResolver(self._state, program.root, evaluator) if program is not None else None
        self._derivation = Derivation(self._state, program, self._node_inputs)

    def close(self) -> None:
        """Makes the expressions' process forget the run's data."""
        if self._node_inputs is not None:
            self._node_inputs.close()

    async def difference(self, event: RecordedEvent) -> Difference | None:
        """How the next event differs from the derived one; `None` where it does not, and it is applied to the state."""
        fact, happened_at = execution_fact(event)
        # Older outputs may be larger than today's bounds and were right when they were recorded.
        if self._node_inputs is not None and event.event_type == "NodeSucceeded":
            self._node_inputs.bounds_outputs = event.metadata.get("schema_version", 1) >= BOUNDED_OUTPUTS_VERSION
        try:
            expected = fact if self._is_copied(event) else await self._derivation.fact(fact, happened_at)
        except UnderivableError as refusal:
            return Difference(event, None, str(refusal))
        if type(expected) is not type(fact):
            return Difference(event, encode(expected), f"It should be {event_type(expected)}.")
        named = [name for name in fact.__slots__ if not same_json(getattr(expected, name), getattr(fact, name))]
        if named:
            return Difference(event, encode(expected), f"It differs in {', '.join(named)}.")
        apply(self._state, fact, happened_at, event.size_bytes)
        return None

    def _is_copied(self, event: RecordedEvent) -> bool:
        """Whether the fact was taken over from the run that this one was forked from (verify that one), or was given
        with the fork."""
        is_given = "copied_from" in event.metadata or "given" in event.metadata
        return is_given and self._state.forked_from is not None
