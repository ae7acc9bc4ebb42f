"""The names of our own keys in Redis, beside BullMQ's and out of the way of its job ids."""

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
        """Sorted set: the live drains by the time (server's milliseconds) at which they count as dead."""
        return f"{self.base}:drains"

    @property
    def waking(self) -> str:
        """The token of somebody who has just invoked a drain that is not live yet."""
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
        """The version of the workflow's stream that this is known from."""
        return f"{self.base}:published-at:{workflow_id}"

    def answer(self, execution_id: str) -> str:
        """List: the answer of this run, for those who wait for it."""
        return f"{self.base}:answer:{execution_id}"

    def signalled(self, execution_id: str) -> str:
        """Set when something has happened that this run waits for, for a drain that is just leaving it."""
        return f"{self.base}:again:{execution_id}"

    def awaited(self, execution_id: str) -> str:
        """Set while somebody waits for the answer of this run, which waits itself."""
        return f"{self.base}:awaited:{execution_id}"

    def errors(self, execution_id: str) -> str:
        """How many errors of ours this run has met."""
        return f"{self.base}:errors:{execution_id}"

    @property
    def ledger(self) -> str:
        """List: the lines of deliveries that started no run, for a drain to write."""
        return f"{self.base}:ledger"

    @property
    def ledger_counts(self) -> str:
        """Hash: how many more there were than lines, by `<tenant> <webhook> <verdict> <minute>`."""
        return f"{self.base}:ledger-counts"

    @property
    def ledger_writer(self) -> str:
        """The drain that is just writing the delivery log."""
        return f"{self.base}:ledger-writer"

    @property
    def ledger_taken(self) -> str:
        """Hash: the counts that are just being written, and their `batch`."""
        return f"{self.base}:ledger-taken"

    @property
    def ledger_bodies(self) -> str:
        """Hash: bodies of waiting lines in base64, by `<tenant> <sha256>`."""
        return f"{self.base}:ledger-bodies"

    @property
    def ledger_bytes(self) -> str:
        """How many bytes these bodies have together."""
        return f"{self.base}:ledger-bytes"

    @property
    def ledger_waking(self) -> str:
        """Set while a drain has just been woken for lines."""
        return f"{self.base}:ledger-waking"

    def noted(self, webhook_id: str, kind: str) -> str:
        """How many lines of a kind this webhook has had in this minute."""
        return f"{self.base}:noted:{kind}:{webhook_id}"

    def refused(self, webhook_id: str) -> str:
        """Hash: how many `lines` this webhook's refusals have had in this hour, and how many `bytes` of bodies."""
        return f"{self.base}:refused:{webhook_id}"

    def bucket(self, name: str) -> str:
        """Hash: how many tokens a limit had, and when."""
        return f"{self.base}:bucket:{name}"
