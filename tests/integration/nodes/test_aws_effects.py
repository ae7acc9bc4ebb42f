"""The effects on AWS against moto's server, and against servers that refuse, fail and say nothing."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest

from shared.aws import calls
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, EffectContext, EffectPermissions, NodeError
from shared.nodes.registry import node_type
from tests.aws import aws_server
from tests.integration.engine.sink import Sink, as_json

TENANT = "0192aaaa-0000-7000-8000-000000000001"
REGION, ACCOUNT = "us-east-1", "123456789012"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A server that is all of AWS: its URL."""
    with aws_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    calls._client.cache_clear()
    yield
    calls._client.cache_clear()


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS for this test."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    return moto


@pytest.fixture
async def sink(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sink]:
    """An AWS that answers as a test wants it."""
    async with Sink() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


async def perform(name: str, allow: str = "*", timeout_seconds: float = 10.0, **parameters: Any) -> Completed:
    """One attempt of an effect, by a tenant who may use what `allow` says."""
    type_ = node_type(name)
    effect = EffectContext(TENANT, "the-key", timeout_seconds, time.time, EffectPermissions(aws=(f"{TENANT}={allow}",)))
    return await type_.kind.perform(type_.parse(parameters), effect)


async def refused(name: str, **parameters: Any) -> NodeError:
    """The error of one attempt."""
    with pytest.raises(NodeError) as error:
        await perform(name, **parameters)
    return error.value


TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:orders"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/orders"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:charge"
EMAIL = {
    "from_email_address": "Shop <shop@example.com>",
    "destination": {"to_addresses": ["ada@example.com"]},
    "content": {"simple": {"subject": {"data": "Hi"}, "body": {"text": {"data": "Good morning."}}}},
}
# A valid call of each effect, and the resource that it uses.
CALLS: dict[str, tuple[JsonObject, str]] = {
    "send_sqs_message": ({"queue_url": QUEUE, "message_body": {"n": 1}}, QUEUE),
    "publish_sns": ({"topic_arn": TOPIC, "message": "hi"}, TOPIC),
    "put_event": ({"event_bus_name": BUS, "source": "shop", "detail_type": "ordered", "detail": {}}, BUS),
    "invoke_lambda": ({"function_name": FUNCTION, "payload": {"n": 1}}, FUNCTION),
    "send_email": (EMAIL, "shop@example.com"),
}


async def test_sqs_message_arrives(aws: str) -> None:
    """JSON as JSON, with its attributes."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="plain")["QueueUrl"]
    done = await perform(
        "send_sqs_message", queue_url=url, message_body={"ü": [1]}, message_attributes={"kind": "order", "n": 2}
    )
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert (message["MessageId"], json.loads(message["Body"])) == (done.output["message_id"], {"ü": [1]})
    assert message["MessageAttributes"]["n"] == {"StringValue": "2", "DataType": "Number"}


async def test_fifo_queue_takes_the_attempts_of_one_node_once(aws: str) -> None:
    """The idempotency key is the deduplication id."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for _ in range(2):
        done = await perform("send_sqs_message", queue_url=url, message_body="once", message_group_id="g")
    answer = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MaxNumberOfMessages=10)
    (message,) = answer["Messages"]
    assert message["Attributes"]["MessageDeduplicationId"] == "the-key"
    assert done.output["sequence_number"]


async def test_sns_message_reaches_the_topics_queue(aws: str) -> None:
    """Published, with its subject."""
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    queue = sqs.create_queue(QueueName="subscribed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    done = await perform("publish_sns", topic_arn=topic, message={"n": 1}, subject="new order")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    received = json.loads(message["Body"])
    assert (received["MessageId"], received["Subject"]) == (done.output["message_id"], "new order")
    assert json.loads(received["Message"]) == {"n": 1}


async def test_event_is_put_on_the_bus(aws: str) -> None:
    """The bus says under which id."""
    parameters, _ = CALLS["put_event"]
    assert (await perform("put_event", **parameters)).output["event_id"]


async def test_email_is_sent_from_a_verified_identity_alone(aws: str) -> None:
    """SES's refusal is a refusal; once it knows the sender, the message has an id."""
    parameters, _ = CALLS["send_email"]
    error = await refused("send_email", **parameters)
    assert (error.code, error.details and error.details["code"]) == ("http_4xx", "MessageRejected")
    boto3.client("sesv2").create_email_identity(EmailIdentity="shop@example.com")
    assert (await perform("send_email", **parameters)).output["message_id"]


async def test_lambdas_answer_is_the_output(sink: Sink) -> None:
    """The function gets the payload and the key, and what it returns is the node's."""
    sink.answer = lambda _request: (200, {"x-amz-executed-version": "7"}, as_json({"charged": True}))
    done = await perform("invoke_lambda", **CALLS["invoke_lambda"][0])
    assert done.output == {"status_code": 200, "executed_version": "7", "payload": {"charged": True}}
    (request,) = sink.received
    assert (request.path, json.loads(request.body)) == (
        f"/2015-03-31/functions/{FUNCTION.replace(':', '%3A')}/invocations",
        {"n": 1},
    )
    context = request.headers["x-amz-client-context"]
    assert json.loads(base64.b64decode(context)) == {"custom": {"idempotency_key": "the-key"}}


@pytest.mark.parametrize("payload", [b'{"n": NaN}', b"[" * 5_000 + b"]" * 5_000], ids=["NaN", "deep"])
async def test_lambdas_answer_that_cannot_be_recorded_is_its_text(sink: Sink, payload: bytes) -> None:
    """Python's functions return such JSON; as a value, no event could hold it once the function has run."""
    sink.answer = lambda _request: (200, {}, payload)
    done = await perform("invoke_lambda", **CALLS["invoke_lambda"][0])
    assert done.output["payload"] == payload.decode()


async def test_failing_lambda_is_a_function_error(sink: Sink) -> None:
    """What it raised is the node's error."""
    failure = {"errorType": "NoStock", "errorMessage": "none left", "stackTrace": ["internals"]}
    sink.answer = lambda _request: (200, {"x-amz-function-error": "Unhandled"}, as_json(failure))
    error = await refused("invoke_lambda", **CALLS["invoke_lambda"][0])
    assert (error.code, error.message) == ("function_error", "NoStock: none left")
    assert error.details == {"error_type": "NoStock"}


async def test_lambda_as_an_event_does_not_wait(sink: Sink) -> None:
    """Its output says that it was accepted."""
    sink.answer = lambda _request: (202, {}, b"")
    done = await perform("invoke_lambda", **CALLS["invoke_lambda"][0], invocation_type="Event")
    assert done.output == {"status_code": 202, "payload": None}
    assert sink.received[0].headers["x-amz-invocation-type"] == "Event"


@pytest.mark.parametrize("name", CALLS)
async def test_resource_that_is_not_the_tenants_is_refused(sink: Sink, name: str) -> None:
    """By default nothing is anybody's, another tenant's is not ours, and nothing is sent to find out."""
    parameters, resource = CALLS[name]
    for allow in ("", f"{resource}2", resource[:-1], "other*"):
        assert (await refused(name, allow=allow, **parameters)).code == "aws_refused"
    type_ = node_type(name)
    theirs = EffectContext(TENANT, "k", 5.0, time.time, EffectPermissions(aws=(f"another={resource}",)))
    with pytest.raises(NodeError, match="aws_refused"):
        await type_.kind.perform(type_.parse(parameters), theirs)
    assert sink.received == []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "ThrottlingException", "http_429"),
        (429, "TooManyRequestsException", "http_429"),
        (400, "AccessDeniedException", "http_4xx"),
        (500, "InternalFailure", "http_5xx"),
        (503, "ServiceUnavailable", "http_5xx"),
    ],
)
async def test_refusals_have_retrys_classes(sink: Sink, name: str, status: int, kind: str, code: str) -> None:
    """Throttling and failures of theirs are told from mistakes of ours, and each attempt is one request."""
    xml = f"<ErrorResponse><Error><Code>{kind}</Code><Message>no</Message></Error></ErrorResponse>".encode()
    content = xml if name == "publish_sns" else as_json({"__type": kind, "message": "no"})
    sink.answer = lambda _request: (status, {"x-amzn-errortype": kind}, content)
    parameters, resource = CALLS[name]
    error = await refused(name, allow=resource, **parameters)
    assert error.code == code
    assert error.details is not None
    assert (error.details["code"], error.details["status"], len(sink.received)) == (kind, status, 1)


async def test_entry_that_eventbridge_refuses_is_an_error(sink: Sink) -> None:
    """The call succeeds there although the event was not taken."""
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
    sink.answer = lambda _request: (200, {}, as_json({"FailedEntryCount": 1, "Entries": [entry]}))
    error = await refused("put_event", **CALLS["put_event"][0])
    assert (error.code, error.message) == ("http_429", "ThrottlingException: slow down")


async def test_silence_is_a_timeout(sink: Sink) -> None:
    """The node's own, whatever boto3's are."""
    sink.pause_seconds = 5
    began = time.monotonic()
    error = await refused("send_sqs_message", timeout_seconds=0.3, **CALLS["send_sqs_message"][0])
    assert error.code == "timeout"
    assert time.monotonic() - began < 3


async def test_nobody_there_is_a_network_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer at all is worth another attempt."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert (await refused("send_sqs_message", **CALLS["send_sqs_message"][0])).code == "network"


@pytest.mark.parametrize(
    ("name", "wrong", "pointer"),
    [
        ("send_sqs_message", {"queue_url": "orders"}, "/queue_url"),
        ("send_sqs_message", {"delay_seconds": 901}, "/delay_seconds"),
        ("publish_sns", {"topic_arn": "orders"}, "/topic_arn"),
        ("put_event", {"source": "aws.ec2"}, "/source"),
        ("put_event", {"event_bus_name": "default"}, "/event_bus_name"),
        ("invoke_lambda", {"function_name": "charge"}, "/function_name"),
        ("send_email", {"destination": {}}, "/destination"),
        ("send_email", {"from_email_address": "nobody"}, "/from_email_address"),
        ("send_email", {"reply_to_addresses": ["a@b.c\r\nBcc: d@e.f"]}, "/reply_to_addresses/0"),
    ],
)
async def test_wrong_parameters_are_refused(name: str, wrong: JsonObject, pointer: str) -> None:
    """Before anything is sent, and by name."""
    error = await refused(name, **{**CALLS[name][0], **wrong})
    assert (error.code, error.message.split(":")[0]) == ("invalid_parameters", pointer)
