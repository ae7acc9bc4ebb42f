"""Running many deliveries of the delivery log again."""

from __future__ import annotations

from typing import Any

import pytest

from shared.commands.webhooks.redeliver import redeliver
from shared.commands.webhooks.redeliver_many import RedeliverMany, redeliver_many
from shared.errors import NotPublishedError
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.rows import Keyset
from tests.integration.webhooks.sender import Sender, configure, ledger


@pytest.fixture
def filtered(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Sender:
    """A sender of five deliveries that were filtered out, and one that was refused."""
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)
    configure(sender, event_types=["push"])
    for number in range(5):
        assert sender.send(b'{"n": %d}' % number, x_github_event="issues").json == {"filtered": True}
    sender.send(b"{}", signed={})
    assert len(ledger(sender)) == 6
    return sender


def again(
    sender: Sender, before: Keyset | None = None, key: str | None = None, **filters: Any
) -> tuple[JsonObject, Keyset | None]:
    """One call."""
    command = RedeliverMany.model_validate(filters)
    return run(redeliver_many(sender.services, sender.actor, sender.webhook_id, command, before, key))


def bodies(sender: Sender, items: list[dict[str, str]]) -> list[int]:
    """What the runs were given."""
    found = []
    for item in items:
        (event,) = run(sender.services.events.read_all(sender.actor.tenant_id, item["execution_id"]))
        found.append(event.payload["trigger"]["body"]["n"])
    return found


def test_those_that_fit_the_filter_are_run_again_page_by_page(filtered: Sender) -> None:
    """Newest first, each once; nothing else is among them, and the last page says that it is the last."""
    first, place = again(filtered, verdict="filtered", event_type="issues", limit=3)
    second, end = again(filtered, place, verdict="filtered", event_type="issues", limit=3)
    assert (first["redelivered"], second["redelivered"], end) == (3, 2, None)
    assert bodies(filtered, first["items"] + second["items"]) == [4, 3, 2, 1, 0]
    assert again(filtered, verdict="filtered", event_type="push") == (
        {"redelivered": 0, "skipped": 0, "unverified": 0, "items": []},
        None,
    )


def test_times_bound_what_is_run_again(filtered: Sender) -> None:
    """From `since` on, and before `until`."""
    times = sorted(line["received_at"] for line in ledger(filtered) if line["verdict"] == "filtered")
    assert again(filtered, verdict="filtered", since=times[1], until=times[4])[0]["redelivered"] == 3


def test_under_one_key_each_delivery_is_run_again_once(filtered: Sender) -> None:
    """A call that is repeated answers the same, and the delivery log has one more line for each, not two."""
    first = again(filtered, verdict="filtered", key="after the mend")
    assert again(filtered, verdict="filtered", key="after the mend") == first
    lines = [line for line in ledger(filtered) if line["verdict"] == "accepted"]
    assert len(lines) == 5
    one = run(
        redeliver(
            filtered.services, filtered.actor, filtered.webhook_id, first[0]["items"][0]["redelivery_of"], "another"
        )
    )
    assert one["execution_id"] not in {item["execution_id"] for item in first[0]["items"]}


def test_redeliveries_are_not_run_again(filtered: Sender) -> None:
    """Only what the provider sent is: else each call would find what the one before has made."""
    again(filtered, verdict="filtered")
    assert again(filtered)[0] == {"redelivered": 0, "skipped": 0, "unverified": 0, "items": []}


def test_what_was_not_kept_is_skipped_and_counted(filtered: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are run all the same."""
    monkeypatch.setattr("shared.queue.delivery_log.MAX_WAITING_BYTES", 10)
    filtered.send(b'{"n": 5, "more": "than ten bytes"}', x_github_event="issues")
    assert len(ledger(filtered)) == 7
    answer, _ = again(filtered, verdict="filtered")
    assert (answer["redelivered"], answer["skipped"]) == (5, 1)


def test_without_a_published_workflow_nothing_is_run_again(sender: Sender) -> None:
    """There would be nothing to run it."""
    with pytest.raises(NotPublishedError):
        again(Sender.of(sender.services, "github", publish=False))
