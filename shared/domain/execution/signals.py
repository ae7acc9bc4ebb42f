"""The signals that a run has received, and which waiting node takes which.

A payload is validated against a node's schema once: by the command that sends it to a waiting node, or by the node that
begins to wait when the signal is there already. The result is recorded (`SignalReceived.node_id`,
`NodeWaiting.passed_over`, `NodeSucceeded.signal`), so that a fold validates nothing. Only where older facts do not say
it, or where a signal arrived at the same time as the wait began, is it validated here, and only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.execution.node_record import NodeRecord
    from shared.domain.json.check_budget import CheckBudget
    from shared.events.execution import SignalReceived


@dataclass(slots=True)
class Signals:
    """Signals are numbered from 1 in the order in which the run received them; `count` is how many there were. `by_key`
    has those with an idempotency key. `reserved` has, by a waiting node's path, the number of the signal that is
    reserved for it until the node takes it."""

    by_key: dict[str, SignalReceived] = field(default_factory=dict)
    count: int = 0
    reserved: dict[str, int] = field(default_factory=dict, compare=False)
    _kept: dict[int, SignalReceived] = field(default_factory=dict)
    _reserved_for: dict[int, str] = field(default_factory=dict, compare=False)
    _waiting: dict[str, dict[str, NodeRecord]] = field(default_factory=dict, compare=False)
    # Waiting nodes by path: those with unchecked signals, with the signal's name; and those whose check exceeded its
    # budget, with the error.
    _unchecked: dict[str, str] = field(default_factory=dict, compare=False)
    _refused: dict[str, Exception] = field(default_factory=dict, compare=False)
    _news: list[str] = field(default_factory=list, compare=False)

    @property
    def kept(self) -> list[SignalReceived]:
        """The signals that no node has taken, in order."""
        return list(self._kept.values())

    @property
    def is_any_due(self) -> bool:
        """Whether any waiting node is due: see `is_due`."""
        for path in list(self._unchecked):
            self._check(path)
        return bool(self.reserved or self._refused)

    @property
    def is_any_unchecked(self) -> bool:
        """Whether any waiting node has unchecked signals."""
        return bool(self._unchecked)

    def check_some(self) -> bool:
        """Checks the next waiting nodes, as many as one budget of steps allows; whether any unchecked ones are left."""
        if not self._unchecked:
            return False
        from shared.domain.json.check_budget import MAX_STEPS, CheckBudget  # most runs wait for no signal

        left = MAX_STEPS
        for path in list(self._unchecked):
            steps = CheckBudget()
            self._check(path, steps)
            left -= steps.limit - steps.left
            if left <= 0:
                break
        return bool(self._unchecked)

    def newly_due(self) -> list[str]:
        """The paths of the waiting nodes that became due since the last call."""
        due: list[str] = []
        if self.is_any_due:
            due, self._news = [path for path in self._news if self.is_due(path)], []
        return due

    @property
    def is_awaited(self) -> bool:
        """Whether any node waits for a signal."""
        return bool(self._waiting)

    def waiting_for(self, name: str) -> Mapping[str, NodeRecord]:
        """The nodes that wait for a signal of this name, by path."""
        return self._waiting.get(name, {})

    def receive(self, signal: SignalReceived) -> None:
        """Keeps a signal until a node takes it."""
        self.count += 1
        self._kept[self.count] = signal
        if signal.key is not None:
            self.by_key[signal.key] = signal
        # Without a node in the fact, no waiting node took it when it was sent. One that began to wait at the same time
        # may take it, which is checked when it is asked for.
        waiting = self.waiting_for(signal.name)
        if signal.node_id is None:
            self._unchecked.update((path, signal.name) for path in waiting if path not in self.reserved)
        elif signal.node_id in waiting and signal.node_id not in self.reserved:
            self._reserve(signal.node_id, self.count)

    def begin(self, path: str, record: NodeRecord) -> None:
        """A node begins to wait for a signal."""
        name = record.signal or ""
        self._waiting.setdefault(name, {})[path] = record
        if path not in self.reserved and self.count > record.passed_over:
            self._unchecked[path] = name

    def end(self, path: str, name: str | None) -> None:
        """A node stops waiting. A signal that was reserved for it and not taken is offered to the others."""
        if name is None or self._waiting.get(name, {}).pop(path, None) is None:
            return
        if not self._waiting[name]:
            del self._waiting[name]
        self._unchecked.pop(path, None)
        self._refused.pop(path, None)
        number = self._release(path)
        if number is not None:
            # They passed the signal over because it was reserved: they have to consider it again.
            for other, record in self.waiting_for(name).items():
                record.passed_over = min(record.passed_over, number - 1)
                self._unchecked.setdefault(other, name)

    def stop(self) -> None:
        """No node waits any more: the run has ended."""
        for held in (self._waiting, self._unchecked, self._refused, self.reserved, self._reserved_for):
            held.clear()
        self._news.clear()

    def take(self, number: int) -> None:
        """A node takes the signal of this number. A forked run has no such signal: it copied the node's end."""
        self._kept.pop(number, None)
        path = self._reserved_for.get(number)
        if path is not None:
            self._release(path)
            self._recheck(path)

    def reserve(self, path: str, name: str, schema: JsonObject | None, steps: CheckBudget) -> int:
        """How many signals a node that is about to wait passes over; the next one, if any, is reserved for it.

        A check that needs more than `steps` raises `LimitExceededError`.
        """
        return self._reserve_first(path, name, schema, 0, steps)

    def is_due(self, path: str) -> bool:
        """Whether a waiting node can go on: a signal is reserved for it, or the check of its signals was refused."""
        self._check(path)
        return path in self.reserved or path in self._refused

    def number_for(self, path: str, steps: CheckBudget | None = None) -> int | None:
        """The number of the signal that a waiting node takes: the first of its name that fits its schema and is not
        reserved for another. A check that needs more than `steps` raises `LimitExceededError`."""
        self._check(path, steps)
        if path in self._refused:
            raise self._refused[path]
        return self.reserved.get(path)

    def numbered(self, number: int) -> SignalReceived:
        """The kept signal of this number."""
        return self._kept[number]

    def _check(self, path: str, steps: CheckBudget | None = None) -> None:
        name = self._unchecked.pop(path, None) if self._unchecked else None
        if name is None or path in self.reserved:
            return
        from shared.domain.json.check_budget import CheckBudget  # most runs wait for no signal
        from shared.errors import LimitExceededError

        # Taken off the unchecked ones already: a check that is refused is not repeated, and is an error of the node.
        record = self._waiting[name][path]
        schema = (record.parameters or {}).get("schema")
        try:
            record.passed_over = self._reserve_first(path, name, schema, record.passed_over, steps or CheckBudget())
        except LimitExceededError as error:
            self._refused[path] = error
            self._news.append(path)

    def _reserve_first(self, path: str, name: str, schema: JsonObject | None, after: int, steps: CheckBudget) -> int:
        from shared.domain.json.schema_validator import fits  # as above

        for number, signal in self._kept.items():
            is_free = number > after and signal.name == name and number not in self._reserved_for
            if is_free and fits(schema, signal.payload, steps):
                self._reserve(path, number)
                return number - 1
        # None fits: all that the run has received so far are passed over.
        return self.count

    def _recheck(self, path: str) -> None:
        """Has a node that is still waiting checked again, because another one took the signal reserved for it."""
        for name, waiting in self._waiting.items():
            if path in waiting:
                self._unchecked[path] = name

    def _reserve(self, path: str, number: int) -> None:
        self.reserved[path], self._reserved_for[number] = number, path
        self._news.append(path)

    def _release(self, path: str) -> int | None:
        number = self.reserved.pop(path, None)
        if number is None:
            return None
        del self._reserved_for[number]
        return number
