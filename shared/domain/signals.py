"""The signals that a run has received."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.domain.node_record import NodeRecord
    from shared.events.execution import SignalReceived


@dataclass(slots=True)
class Signals:
    """`kept` are those that no node has taken, in order; `by_key` are all that came with a key; `count` is of all."""

    kept: list[SignalReceived] = field(default_factory=list)
    by_key: dict[str, SignalReceived] = field(default_factory=dict)
    count: int = 0

    def receive(self, signal: SignalReceived) -> None:
        """Keeps one more, until a node takes it."""
        self.count += 1
        self.kept.append(signal)
        if signal.key is not None:
            self.by_key[signal.key] = signal

    def first_for(self, record: NodeRecord) -> SignalReceived | None:
        """The first kept one of the name that the node waits for, and with a payload that fits its schema."""
        if record.signal is None:
            return None
        from shared.domain.json_schema import fits  # most runs wait for no signal

        schema = (record.parameters or {}).get("schema")
        return next((one for one in self.kept if one.name == record.signal and fits(schema, one.payload)), None)

    def take(self, signal: SignalReceived) -> None:
        """Gives a kept one to a node: this very one, not another that is equal."""
        self.kept = [one for one in self.kept if one is not signal]
