"""A template with small functions for the tests of the local HTTP and Lambda APIs, and a server that runs it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from local.stack.functions import FunctionServer
from shared.json_types import JsonObject

APP = '''
import json, os, signal, subprocess, sys, time
from pathlib import Path

calls = 0

def echo(event, context):
    """The event itself, as the body."""
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}

def result(event, context):
    """Whatever the request's body is, as the function's result."""
    return json.loads(event["body"])

def twice(event, context):
    return json.loads(event["body"]) * 2

def authorizer(event, context):
    if event["identitySource"] == ["broken"]:
        raise RuntimeError("broken")
    if event["identitySource"] == ["odd"]:
        return {"principalId": "x"}
    global calls
    calls += 1
    return {"isAuthorized": event["identitySource"] != ["forbidden"], "context": {"calls": calls, "seen": event}}

def slow(event, context):
    time.sleep(float(event.get("seconds", 60)))
    return {"remaining": context.get_remaining_time_in_millis()}

def about(event, context):
    print("hello from", context.function_name)
    return {
        "pid": os.getpid(), "name": context.function_name, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "remaining": context.get_remaining_time_in_millis(),
        "request_id": context.aws_request_id, "environment": dict(os.environ),
    }

def fail(event, context):
    """Counts its attempts in a file; fails the first `failures` times."""
    path = Path(event["path"])
    with path.open("a") as file:
        file.write(context.aws_request_id + "\\n")
    if len(path.read_text().split()) <= event["failures"]:
        raise ValueError("not yet")
    return "done"

def crash(event, context):
    if "exit" in event:
        os._exit(event["exit"])
    os.kill(os.getpid(), signal.SIGKILL)

def unserializable(event, context):
    return object()

def child(event, context):
    """Starts a process that would outlive it, and then hangs."""
    print(subprocess.Popen(["sleep", "300"]).pid, flush=True)
    time.sleep(60)
'''

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: test}
Conditions:
  Never: !Equals [!Ref Stage, production]
Globals:
  Function:
    Handler: app.echo
    Timeout: 20
    MemorySize: 256
    Environment:
      Variables:
        SHARED: !Sub "${Stage}-shared"
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Key
        Authorizers:
          Key:
            FunctionArn: !GetAtt Authorizer.Arn
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity: {Headers: [Authorization], ReauthorizeEvery: 60}
  Authorizer:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.authorizer}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Static: {Type: HttpApi, Properties: {Method: GET, Path: /things/static, Auth: {Authorizer: NONE}}}
        One: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{id}", Auth: {Authorizer: NONE}}}
        Post: {Type: HttpApi, Properties: {Method: POST, Path: "/things/{id}", Auth: {Authorizer: NONE}}}
        Deep: {Type: HttpApi, Properties: {Method: GET, Path: "/files/{path+}", Auth: {Authorizer: NONE}}}
        Any: {Type: HttpApi, Properties: {Method: ANY, Path: /any, Auth: {Authorizer: NONE}}}
        Guarded: {Type: HttpApi, Properties: {Method: GET, Path: /guarded}}
        Guarded2: {Type: HttpApi, Properties: {Method: GET, Path: /guarded/too}}
  Result:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.result
      Events:
        Post: {Type: HttpApi, Properties: {Method: POST, Path: /result, Auth: {Authorizer: NONE}}}
  Twice:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.twice
      Events:
        Post: {Type: HttpApi, Properties: {Method: POST, Path: /twice, Auth: {Authorizer: NONE}}}
  Slow:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.slow
      Events:
        Get: {Type: HttpApi, Properties: {Method: GET, Path: /slow, Auth: {Authorizer: NONE}}}
  Brief:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.slow, Timeout: 1}
  Child:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.child, Timeout: 1}
  About:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "${Stage}-about"
      Handler: app.about
      MemorySize: 512
      Environment:
        Variables:
          OTHER: !Ref Fail
          SHARED: overridden
  Fail:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.fail}
  FailOnce:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.fail, EventInvokeConfig: {MaximumRetryAttempts: 0}}
  Crash:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.crash
      Events:
        Get: {Type: HttpApi, Properties: {Method: GET, Path: /crash, Auth: {Authorizer: NONE}}}
  Unserializable:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.unserializable}
  NoModule:
    Type: AWS::Serverless::Function
    Properties: {Handler: nowhere.handler}
  NoHandler:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.nothing}
  Absent:
    Type: AWS::Serverless::Function
    Condition: Never
    Properties: {Handler: app.echo}
"""


def write_sample(folder: Path, template: str = TEMPLATE) -> Path:
    """The path of the sample template, written to `folder` with its code."""
    (folder / "app.py").write_text(APP)
    path = folder / "template.yaml"
    path.write_text(template)
    return path


class RunningSample:
    """The server and clients of it."""

    def __init__(self, server: FunctionServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.http = httpx.Client(base_url=server.url, timeout=30, trust_env=False)

    def invoke(self, function: str, event: Any, kind: str = "RequestResponse") -> httpx.Response:
        """The answer of the Invoke API."""
        url = f"{self.server.lambda_url}/2015-03-31/functions/{function}/invocations"
        return self.http.post(url, content=json.dumps(event), headers={"X-Amz-Invocation-Type": kind})

    def workers(self, function: str) -> list[JsonObject]:
        """The function's workers."""
        live: list[JsonObject] = self.http.get(f"{self.server.lambda_url}/_local/functions").json()[function]
        return live

    def log(self, function: str) -> str:
        """What the function's workers have printed."""
        return (self.folder / "logs" / f"{function}.log").read_text()


@contextmanager
def running_sample(folder: Path, template: str = TEMPLATE, **options: Any) -> Iterator[RunningSample]:
    """The sample functions, served from a thread."""
    path = write_sample(folder, template)
    server = FunctionServer(path, folder / "logs", environment={"FROM_STACK": "yes"}, **options)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    sample = RunningSample(server, folder)
    try:
        wait_until(lambda: _answers(sample))
        yield sample
    finally:
        sample.http.close()
        server.stop()
        thread.join()


def wait_until(condition: Any, seconds: float = 15) -> None:
    """Return when `condition()` is true; fail the test when that takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _answers(sample: RunningSample) -> bool:
    try:
        return sample.http.get(f"{sample.server.lambda_url}/_local/functions").is_success
    except httpx.ConnectError:
        return False
