"""How much one run may record: what it records is what every drain that goes on with it has to hold."""

from __future__ import annotations

from typing import NamedTuple

from shared.domain.execution.state import ExecutionState
from shared.errors import RunLimitError


class RunBudget(NamedTuple):
    """`max_bytes` counts the payloads of a run's facts as they are stored: the trigger, parameters, outputs, items and
    signals."""

    max_facts: int = 100_000
    max_bytes: int = 67_108_864

    def refuse(self, state: ExecutionState, facts: int = 0, size_bytes: int = 0) -> None:
        """Passes for a run that may record so much more, and raises `RunLimitError` for one that may not."""
        if state.stream_version + facts > self.max_facts:
            raise RunLimitError(
                f"The run has recorded {state.stream_version} facts and needs {facts or 'no'} more; "
                f"a run may have {self.max_facts}."
            )
        if state.size_bytes + size_bytes > self.max_bytes:
            raise RunLimitError(
                f"The facts of the run have {state.size_bytes + size_bytes} bytes; a run may record {self.max_bytes}."
            )


DEFAULT_BUDGET = RunBudget()
