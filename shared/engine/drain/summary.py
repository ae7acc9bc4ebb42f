"""What an invocation of the drain did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Summary:
    """Counts that the parts of one drain add to: jobs, and `swept` runs that the sweep brought back."""

    completed: int = 0
    delayed: int = 0
    failed: int = 0
    swept: int = 0
    handed_back: int = 0
