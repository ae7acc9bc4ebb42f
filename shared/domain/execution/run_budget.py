"""How much one run may record: every drain that resumes the run has to hold all of it in memory."""

from __future__ import annotations

from typing import NamedTuple

from shared.domain.execution.state import ExecutionState
from shared.errors import RunLimitError


class RunBudget(NamedTuple):
    """`max_facts` limits the number of a run's facts, `max_bytes` the size of their payloads as stored: trigger,
    parameters, outputs, items and signals."""

    max_facts: int = 100_000
    max_bytes: int = 67_108_864

    def refuse(self, state: ExecutionState, facts: int = 0, size_bytes: int = 0) -> None:
        """Raises `RunLimitError` where the run may not record `facts` more, with `size_bytes` of payloads."""
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
