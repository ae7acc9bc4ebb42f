"""Which of AWS's resources a tenant's effects may use."""

from __future__ import annotations

import time

import pytest

from shared.nodes.aws_effect import is_allowed

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:orders"


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        (f"t={QUEUE}", True),
        (f"*={QUEUE}", True),
        (f"other={QUEUE}", False),
        ("t=arn:aws:sqs:*:123456789012:orders", True),
        ("t=arn:aws:sqs:*:123456789012:ord", False),
        ("t=*:orders", True),
        ("t=*.orders", False),
        ("t=*", True),
    ],
)
def test_allow_list_gives_resources(entry: str, allowed: bool) -> None:
    """`*` stands for anything, and nothing else is special."""
    assert is_allowed("t", QUEUE, [entry]) is allowed
    assert not is_allowed("t", f"{QUEUE}\n", [entry])


def test_resource_of_a_tenants_making_takes_no_time() -> None:
    """It is held against the operator's entries on the loop that all runs share, whatever stars these have."""
    resource = "arn:aws:lambda:eu-central-1:123456789012:" + ":" * 2_000
    began_at = time.perf_counter()
    assert not is_allowed("t", resource, ["*=arn:*:*:*:*:function:app-*"] * 10)
    assert time.perf_counter() - began_at < 5
