"""The functions' processes and Lambda's Invoke API."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.stack.functions import own_variables
from local.stack.process import is_alive
from local.stack.template import read_template
from tests.integration.local.sample_functions import RunningSample, running_sample, wait_until, write_sample


@pytest.fixture(scope="module")
def client(sample: RunningSample) -> Any:
    """A real boto3 client of the local Invoke API."""
    return boto3.client(
        "lambda",
        endpoint_url=sample.server.lambda_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_invokes_by_name_arn_and_alias(client: Any) -> None:
    """Every way to name a function that AWS knows finds it."""
    arn = "arn:aws:lambda:us-east-1:000000000000:function:test-about"
    for name in ("test-about", "test-about:live", arn, f"{arn}:live", "000000000000:function:test-about"):
        answer = client.invoke(FunctionName=name, Payload=b"{}")
        assert answer["StatusCode"] == 200
        assert "FunctionError" not in answer
        assert json.load(answer["Payload"])["name"] == "test-about"
    assert client.invoke(FunctionName=arn, Qualifier="live", Payload=b"{}")["StatusCode"] == 200


def test_boto3_sees_an_unknown_function(client: Any) -> None:
    """Its own exception class, with AWS's words."""
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Function not found: arn:aws:lambda"):
        client.invoke(FunctionName="nobody", Payload=b"{}")


def test_boto3_sees_a_payload_that_is_no_json(client: Any) -> None:
    """Refused before the function is asked."""
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="Echo", Payload=b"{")


def test_boto3_sees_a_function_error(client: Any, tmp_path: Path) -> None:
    """The invocation succeeds, its answer says that the function did not."""
    event = {"path": str(tmp_path / "attempts"), "failures": 9}
    answer = client.invoke(FunctionName="Fail", Payload=json.dumps(event))
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.load(answer["Payload"])
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "not yet")
    assert "in fail" in error["stackTrace"][0]


def test_dry_run_runs_nothing(client: Any, tmp_path: Path) -> None:
    """204, and no attempt."""
    event = {"path": str(tmp_path / "attempts"), "failures": 0}
    answer = client.invoke(FunctionName="Fail", InvocationType="DryRun", Payload=json.dumps(event))
    assert answer["StatusCode"] == 204
    assert not (tmp_path / "attempts").exists()


def test_asynchronous_invocation_is_retried_twice_with_the_same_id(client: Any, tmp_path: Path) -> None:
    """202 at once; a failing function gets two more attempts."""
    path = tmp_path / "attempts"
    event = {"path": str(path), "failures": 9}
    answer = client.invoke(FunctionName="Fail", InvocationType="Event", Payload=json.dumps(event))
    assert answer["StatusCode"] == 202
    wait_until(lambda: path.exists() and len(path.read_text().split()) == 3)
    time.sleep(0.3)
    assert len(path.read_text().split()) == 3
    assert len(set(path.read_text().split())) == 1


def test_asynchronous_invocation_ends_with_success(client: Any, tmp_path: Path) -> None:
    """Once an attempt has succeeded there is no other."""
    path = tmp_path / "attempts"
    client.invoke(FunctionName="Fail", InvocationType="Event", Payload=json.dumps({"path": str(path), "failures": 1}))
    wait_until(lambda: path.exists() and len(path.read_text().split()) == 2)
    time.sleep(0.3)
    assert len(path.read_text().split()) == 2


OWN_VARIABLES = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Handler: app.echo, Environment: {Variables: {SHARED: x}}}
Resources:
  One: {Type: AWS::Serverless::Function, Properties: {Environment: {Variables: {KEY: ""}}}}
  Other: {Type: AWS::Serverless::Function, Properties: {Environment: {Variables: {SECRETS_KEY_ARN: ""}}}}
"""


def test_template_can_forbid_retries(client: Any, tmp_path: Path) -> None:
    """EventInvokeConfig's MaximumRetryAttempts holds."""
    path = tmp_path / "attempts"
    event = {"path": str(path), "failures": 9}
    client.invoke(FunctionName="FailOnce", InvocationType="Event", Payload=json.dumps(event))
    wait_until(path.exists)
    time.sleep(0.3)
    assert len(path.read_text().split()) == 1


def test_context_and_environment_are_the_templates(sample: RunningSample) -> None:
    """The handler sees Lambda's context; variables come from Globals, the function and the stack, and only there."""
    os.environ["LEAKED"] = "x"
    try:
        context = sample.invoke("test-about", {}).json()
    finally:
        del os.environ["LEAKED"]
    environment = context["environment"]
    assert context["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:test-about"
    assert context["memory"] == "512"
    assert 15_000 < context["remaining"] <= 20_000
    assert len(context["request_id"]) == 36
    assert (environment["SHARED"], environment["OTHER"], environment["FROM_STACK"]) == ("overridden", "Fail", "yes")
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "test-about"
    assert environment["AWS_ENDPOINT_URL_LAMBDA"] == sample.server.lambda_url
    assert "LEAKED" not in environment


def test_variable_of_another_function_is_not_passed_on(tmp_path: Path) -> None:
    """What the stack sets in the place of the template's values goes to the functions that have it there, the secrets'
    key in the place of its ARN; what no function has there goes to all."""
    given = {"KEY": "k", "SECRETS_KEY": "s", "TUNING": "t"}
    template = read_template(write_sample(tmp_path, OWN_VARIABLES))
    own = {name: own_variables(function, template, given) for name, function in template.functions.items()}
    assert own == {"One": {"KEY": "k", "TUNING": "t"}, "Other": {"SECRETS_KEY": "s", "TUNING": "t"}}


def test_worker_stays_warm(sample: RunningSample) -> None:
    """One invocation after another is answered by the same process."""
    pids = {sample.invoke("test-about", {}).json()["pid"] for _ in range(5)}
    assert pids == {worker["pid"] for worker in sample.workers("test-about")}
    assert len(pids) == 1


def test_each_worker_runs_one_invocation_at_a_time(tmp_path: Path) -> None:
    """Invocations at the same time get a process each, up to the concurrency; then they wait."""
    with running_sample(tmp_path, concurrency=2) as sample:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: sample.invoke("Slow", {"seconds": 0.5}), range(4)))
        assert all(answer.status_code == 200 for answer in answers)
        assert time.monotonic() - began >= 1.0
        workers = sample.workers("Slow")
        assert len(workers) == 2
        assert sum(worker["invocations"] for worker in workers) == 4


def test_timeout_kills_the_process(sample: RunningSample) -> None:
    """The answer is Lambda's, the process is gone, and the next invocation gets a new one."""
    began = time.monotonic()
    answer = sample.invoke("Brief", {"seconds": 30})
    assert 0.9 < time.monotonic() - began < 10
    assert answer.headers["x-amz-function-error"] == "Unhandled"
    assert answer.json()["errorType"] == "Sandbox.Timedout"
    assert answer.json()["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert "Task timed out" in sample.log("Brief")
    assert sample.workers("Brief") == []
    assert sample.invoke("Brief", {"seconds": 0}).json()["remaining"] > 0


def test_timeout_kills_what_the_function_started(sample: RunningSample) -> None:
    """A process that the handler left running goes with it."""
    answer = sample.invoke("Child", {})
    assert answer.json()["errorType"] == "Sandbox.Timedout"
    pid = int(sample.log("Child").split()[0])
    wait_until(lambda: not is_alive(pid))


@pytest.mark.parametrize(("event", "how"), [({"exit": 3}, "exit status 3"), ({}, "signal: killed")])
def test_crash_is_a_runtime_exit_error(sample: RunningSample, event: Any, how: str) -> None:
    """A process that ends during an invocation is reported as Lambda does."""
    answer = sample.invoke("Crash", event)
    assert answer.headers["x-amz-function-error"] == "Unhandled"
    assert answer.json()["errorType"] == "Runtime.ExitError"
    assert answer.json()["errorMessage"].endswith(f"Error: Runtime exited with error: {how}")


def test_killed_idle_worker_is_replaced(sample: RunningSample) -> None:
    """Killing a process between invocations is noticed and costs only a start."""
    pid = sample.invoke("test-about", {}).json()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: sample.workers("test-about") == [])
    assert sample.invoke("test-about", {}).json()["pid"] != pid


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("NoModule", "Runtime.ImportModuleError", "Unable to import module 'nowhere': No module named 'nowhere'"),
        ("NoHandler", "Runtime.HandlerNotFound", "Handler 'nothing' missing on module 'app'"),
        ("Unserializable", "Runtime.MarshalError", "Unable to marshal response: Object of type object is not JSON"),
    ],
)
def test_broken_functions_say_what_is_wrong(sample: RunningSample, function: str, kind: str, message: str) -> None:
    """In the words of Lambda's Python runtime, every time."""
    for _ in range(2):
        error = sample.invoke(function, {}).json()
        assert error["errorType"] == kind
        assert error["errorMessage"].startswith(message)


def test_output_of_workers_is_in_the_functions_log(sample: RunningSample) -> None:
    """What a handler prints is readable at once."""
    sample.invoke("test-about", {})
    assert "hello from test-about" in sample.log("test-about")


def test_reload_takes_over_with_new_code(tmp_path: Path) -> None:
    """After a reload the next invocation runs today's source; one that is under way ends undisturbed."""
    with running_sample(tmp_path) as sample, ThreadPoolExecutor(1) as threads:
        sample.invoke("Slow", {"seconds": 0})
        under_way = threads.submit(sample.invoke, "Slow", {"seconds": 1})
        wait_until(lambda: any(worker["busy"] for worker in sample.workers("Slow")))
        source = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text(source.replace('{"remaining"', '{"new": True, "remaining"'))
        sample.http.post(f"{sample.server.lambda_url}/_local/reload")
        assert "new" in sample.invoke("Slow", {"seconds": 0}).json()
        assert list(under_way.result().json()) == ["remaining"]


def test_functions_with_a_false_condition_are_left_out(sample: RunningSample) -> None:
    """As CloudFormation would."""
    assert sample.invoke("Absent", {}).status_code == 404


SCHEDULES = """
Resources:
  Fail:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.fail
      Events:
        Minute:
          Type: Schedule
          Properties: {Schedule: rate(1 minute), Input: '{"path": "PATH", "failures": 0}'}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.echo
      Events:
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED}}
"""


def test_schedules_fire_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule invokes its function again and again with its input; a disabled one does nothing."""
    monkeypatch.setenv("LOCAL_SCHEDULE_SECONDS", "0.1")
    path = tmp_path / "fired"
    with running_sample(tmp_path, SCHEDULES.replace("PATH", str(path))) as sample:
        wait_until(lambda: path.exists() and len(path.read_text().split()) >= 3)
        assert sample.workers("Echo") == []
