"""Every example in docs/, done as it stands there."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from local.stack.stack import LocalStack
from local.tools.sink import sink
from shared.http.operations.execution_verbs import OPERATIONS as EXECUTION_VERBS
from shared.http.operations.executions import CANCEL_EXECUTION
from shared.nodes.registry import names
from tests.aws import aws_server
from tests.e2e.examples import Example, Reader, differs, examples

EXAMPLES = tuple(examples())


@pytest.fixture(scope="module", autouse=True)
def _aws(aws_port: int) -> Iterator[None]:
    """An AWS with what the examples use: a queue, a topic, a verified address."""
    with aws_server(aws_port) as url, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_ENDPOINT_URL", url)
        session = boto3.session.Session(region_name="us-east-1")
        session.client("sqs").create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})
        session.client("sns").create_topic(Name="orders")
        session.client("sesv2").create_email_identity(EmailIdentity="shop@example.com")
        patch.undo()
        yield


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.document}:{example.name}")
def test_example_does_what_it_says(stack: LocalStack, example: Example) -> None:
    """Its workflow is published, its requests are answered as it says, and the sink receives what it says. An example
    that says nothing of the kind shows nothing."""
    with sink() as (url, received):
        assert Reader(stack, url, received).follow(example) > 0


def test_every_node_type_has_an_example() -> None:
    """docs/examples/ has a page for each type, with an example of its name."""
    shown = {example.name for example in EXAMPLES if example.document == f"examples/{example.name}.md"}
    assert set(names()) - shown == set()


def test_every_verb_has_an_example() -> None:
    """Whatever can be done with a run afterwards is shown where operating runs is explained."""
    shown = {example.name for example in EXAMPLES if example.document == "how-to/runs.md"}
    verbs = {operation.path.rpartition("/")[2] for operation in (*EXECUTION_VERBS, CANCEL_EXECUTION)}
    assert verbs - shown == set()


def test_names_of_examples_are_their_own() -> None:
    """A document has no two examples of one name."""
    pairs = [(example.document, example.name) for example in EXAMPLES]
    assert len(pairs) == len(set(pairs))


def test_answer_that_lacks_something_differs() -> None:
    """The comparison is no rubber stamp: a missing member, another value and another length are found."""
    assert differs({"a": 1}, {"a": 1, "b": 2}) is None
    assert differs({"a": "…"}, {}) == "/a is missing"
    assert differs({"a": [1, 2]}, {"a": [1]})
    assert differs({"a": [{"b": 1}]}, {"a": [{"b": True}]}) is None  # JSON's true is Python's 1
    assert differs({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == "/a/0/b is 2, not 1"
