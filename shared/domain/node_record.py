"""What has happened to one node of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.map_items import MapItems

JsonObject = dict[str, Any]


@dataclass(slots=True)
class NodeRecord:
    """One node of a run. `handles` are the chosen ones; `parameters` the resolved ones of a started effect or wait.

    `items` is set for a map that has started, `key` for an effect, and `workflow_version` for a call; `called` is the
    run that a node has called and waits for, or waited for. `attempts_before` is how many attempts had been made when
    the run was last redriven: retriers count from there.
    """

    status: str = "pending"
    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    output: Any = None
    error: JsonObject | None = None
    handles: Sequence[str] = ()
    handled: str | None = None
    parameters: JsonObject | None = None
    evaluated_at: int | None = None
    retry_at: str | None = None
    wake_at: str | None = None
    signal: str | None = None
    undefined: Sequence[str] = ()
    items: MapItems | None = None
    key: str | None = None
    called: str | None = None
    workflow_version: int | None = None
    attempts_before: int = 0

    def reset(self) -> None:
        """Takes the node's end back, so that its fate is decided anew.

        An effect sends again what it has sent before, for it carries the same key; all others begin with the data and
        the clock of then. A map keeps the items that succeeded and goes on with those under way.
        """
        self.status, self.handles, self.handled, self.signal = "pending", (), None, None
        self.output = self.error = self.finished_at = self.retry_at = self.wake_at = self.called = None
        self.attempts_before = self.attempts
        if self.items is not None:
            self.items.errors.clear()
            if self.items.under_way:
                # Its failed items begin again among those under way: another attempt, as after a retry.
                self.status, self.attempts = "running", self.attempts + 1
        elif self.key is None:
            self.started_at = self.parameters = self.evaluated_at = None
            self.undefined = ()

    def wait_again(self, until: str) -> None:
        """Takes the end of a node back that had called a run, which goes on now."""
        self.status, self.handles, self.handled = "waiting", (), None
        self.output = self.error = self.finished_at = self.retry_at = None
        self.wake_at, self.attempts_before = until, self.attempts - 1

    @property
    def asks_outside(self) -> bool:
        """Whether this is an effect, or a call, that has been started."""
        return self.key is not None or self.workflow_version is not None

    @property
    def is_open_map(self) -> bool:
        """Whether this is a map whose items are being worked on."""
        return self.items is not None and self.status == "running"

    @property
    def timer(self) -> str | None:
        """When a waiting node goes on: with its next attempt, or because its wait is over."""
        return self.retry_at or self.wake_at
