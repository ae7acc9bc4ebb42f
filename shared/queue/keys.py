"""The names of our own keys in Redis: beside BullMQ's, and never equal to the key of a job."""

from __future__ import annotations

from typing import NamedTuple


class OwnKeys(NamedTuple):
    """Key names of one queue. They begin with the queue's prefix, whose braces keep them in BullMQ's cluster slot."""

    base: str

    @classmethod
    def of(cls, prefix: str, queue_name: str) -> OwnKeys:
        """The keys beside the queue `queue_name` under `prefix`."""
        return cls(f"{prefix}~{queue_name}")

    @property
    def drains(self) -> str:
        """Sorted set: the live drains, by when their heartbeat expires (milliseconds of the server's clock)."""
        return f"{self.base}:drains"

    @property
    def waking(self) -> str:
        """The token under which a drain was invoked that has not announced itself yet."""
        return f"{self.base}:waking"

    def delivery(self, execution_id: str) -> str:
        """The claim of the delivery that makes this execution: `<fingerprint> <delivery id>`."""
        return f"{self.base}:delivery:{execution_id}"

    def webhook(self, webhook_id: str) -> str:
        """The webhook as intake needs it, in JSON; `null` for one that does not exist."""
        return f"{self.base}:webhook:{webhook_id}"

    def published(self, workflow_id: str) -> str:
        """The workflow's published version; 0 for none."""
        return f"{self.base}:published:{workflow_id}"

    def published_at(self, workflow_id: str) -> str:
        """The version of the workflow's stream as of which that is known."""
        return f"{self.base}:published-at:{workflow_id}"

    def answer(self, execution_id: str) -> str:
        """List: the reply of this run, for the clients that wait for it."""
        return f"{self.base}:answer:{execution_id}"

    def signalled(self, execution_id: str) -> str:
        """Set when the run was signalled, for a drain that is just acknowledging its job."""
        return f"{self.base}:again:{execution_id}"

    def awaited(self, execution_id: str) -> str:
        """Set while a client waits for the answer of this run, which sleeps."""
        return f"{self.base}:awaited:{execution_id}"

    def waiting(self, tenant_id: str) -> str:
        """Sorted set: the tenant's clients that wait for a response, by when each gives up at the latest (milliseconds
        of the server's clock)."""
        return f"{self.base}:waiting:{tenant_id}"

    def errors(self, execution_id: str) -> str:
        """How many internal errors this run has met."""
        return f"{self.base}:errors:{execution_id}"

    @property
    def ledger(self) -> str:
        """List: the delivery log's entries of deliveries that started no run, for a drain to write."""
        return f"{self.base}:ledger"

    @property
    def ledger_counts(self) -> str:
        """Hash: how many more deliveries there were than entries, by `<tenant> <webhook> <verdict> <minute>`."""
        return f"{self.base}:ledger-counts"

    @property
    def ledger_writer(self) -> str:
        """The lock of the drain that is writing the delivery log."""
        return f"{self.base}:ledger-writer"

    @property
    def ledger_taken(self) -> str:
        """Hash: the counts that are being written, and their `batch`."""
        return f"{self.base}:ledger-taken"

    @property
    def ledger_bodies(self) -> str:
        """Hash: bodies of waiting entries in base64, by `<tenant> <sha256>`."""
        return f"{self.base}:ledger-bodies"

    @property
    def ledger_bytes(self) -> str:
        """How many bytes these bodies have together."""
        return f"{self.base}:ledger-bytes"

    @property
    def ledger_waking(self) -> str:
        """Set while a drain is being woken for entries."""
        return f"{self.base}:ledger-waking"

    def noted(self, webhook_id: str, kind: str) -> str:
        """How many entries of a kind this webhook has had in this minute."""
        return f"{self.base}:noted:{kind}:{webhook_id}"

    def refused(self, webhook_id: str) -> str:
        """Hash: how many entries (`lines`) this webhook's refusals have had in this hour, and `bytes` of bodies."""
        return f"{self.base}:refused:{webhook_id}"

    def bucket(self, name: str) -> str:
        """Hash: the token bucket of a limit: its `level`, and `at` when."""
        return f"{self.base}:bucket:{name}"
