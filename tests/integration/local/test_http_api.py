"""The HTTP API in front of the functions, held against API Gateway's payload format 2.0."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from typing import Any

import httpx
import pytest

from shared.json_types import JsonObject
from tests.integration.local.sample_functions import RunningSample, running_sample


def event_of(answer: httpx.Response) -> JsonObject:
    """The event that the echo function got."""
    assert answer.status_code == 200, answer.text
    event: JsonObject = answer.json()
    return event


def raw(sample: RunningSample, request: bytes) -> bytes:
    """The bytes that come back for these bytes."""
    with socket.create_connection(("127.0.0.1", sample.server.port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def test_event_of_a_plain_request_has_exactly_the_documented_keys(sample: RunningSample) -> None:
    """Without cookies, query, path variables and body there are no keys for them."""
    event = event_of(sample.http.get("/things/static"))
    assert sorted(event) == [
        *("headers", "isBase64Encoded", "rawPath", "rawQueryString", "requestContext", "routeKey", "version")
    ]
    assert (event["version"], event["routeKey"]) == ("2.0", "GET /things/static")
    assert (event["rawPath"], event["rawQueryString"], event["isBase64Encoded"]) == ("/things/static", "", False)


def test_request_context_has_the_documented_shape(sample: RunningSample) -> None:
    """Who asked what, when, and by which route."""
    context = event_of(sample.http.get("/things/static", headers={"User-Agent": "test/1"}))["requestContext"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
    assert abs(context.pop("timeEpoch") / 1000 - time.time()) < 10
    assert re.fullmatch(r"[\w-]{15}=", context.pop("requestId"))
    assert context == {
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": "local.execute-api.localhost",
        "domainPrefix": "local",
        "http": {
            "method": "GET",
            "path": "/things/static",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "test/1",
        },
        "routeKey": "GET /things/static",
        "stage": "$default",
    }


def test_headers_are_lower_case_and_duplicates_joined(sample: RunningSample) -> None:
    """Header names lose their case, repeated headers become one, hop-by-hop headers stay behind."""
    headers = [("X-Many", "a"), ("x-MANY", "b"), ("Connection", "keep-alive"), ("X-Forwarded-For", "9.9.9.9")]
    got = event_of(sample.http.get("/things/static", headers=headers))["headers"]
    assert got["x-many"] == "a,b"
    assert got["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert got["x-forwarded-port"] == str(sample.server.port)
    assert got["x-forwarded-proto"] == "http"
    assert got["x-amzn-trace-id"].startswith("Root=1-")
    assert "connection" not in got
    assert all(name == name.lower() for name in got)


def test_cookies_are_a_list_and_no_header(sample: RunningSample) -> None:
    """Cookies are split up and leave the headers."""
    event = event_of(sample.http.get("/things/static", headers={"Cookie": "a=1; b=2"}))
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]


def test_query_is_raw_and_decoded_with_duplicates_joined(sample: RunningSample) -> None:
    """The raw query stays as it was; the parameters are decoded, repeated ones joined, empty ones kept."""
    event = event_of(sample.http.get("/things/static?a=1&a=2&b=x%20y+z&empty="))
    assert event["rawQueryString"] == "a=1&a=2&b=x%20y+z&empty="
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y z", "empty": ""}


def test_path_and_its_parameters_are_decoded(sample: RunningSample) -> None:
    """An HTTP API decodes the path before it routes."""
    event = event_of(sample.http.get("/things/a%20b%C3%A9"))
    assert event["pathParameters"] == {"id": "a bé"}
    assert event["rawPath"] == "/things/a bé"


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("text/plain", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", False),
        ("application/octet-stream", False),
        ("application/vnd.api+json", False),
        (None, False),
    ],
)
def test_body_is_text_only_for_the_text_types(sample: RunningSample, content_type: str | None, text: bool) -> None:
    """Everything else is base64, forms and bodies without a type too."""
    headers = {} if content_type is None else {"content-type": content_type}
    event = event_of(sample.http.post("/things/1", content=b'{"a":"\xc3\xa9"}', headers=headers))
    assert event["isBase64Encoded"] is not text
    body = event["body"] if text else base64.b64decode(event["body"]).decode()
    assert body == '{"a":"é"}'


def test_body_that_is_no_utf8_is_base64(sample: RunningSample) -> None:
    """Bytes that a JSON string cannot carry arrive unharmed."""
    event = event_of(sample.http.post("/things/1", content=b"\xff\xfe", headers={"content-type": "text/plain"}))
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, b"\xff\xfe")


def test_chunked_body_arrives_whole(sample: RunningSample) -> None:
    """A body without a length is read to its end, and its framing is not shown."""
    answer = sample.http.post("/things/1", content=iter([b"[1,", b"2]"]), headers={"content-type": "application/json"})
    event = event_of(answer)
    assert event["body"] == "[1,2]"
    assert "transfer-encoding" not in event["headers"]


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/things/static", "GET /things/static"),
        ("GET", "/things/other", "GET /things/{id}"),
        ("POST", "/things/static", "POST /things/{id}"),
        ("GET", "/files/a/b/c", "GET /files/{path+}"),
        ("DELETE", "/any", "ANY /any"),
    ],
)
def test_most_specific_route_wins(sample: RunningSample, method: str, path: str, route: str) -> None:
    """A static segment before a variable before a greedy one, and the method counts."""
    assert event_of(sample.http.request(method, path))["routeKey"] == route


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/things/1"), ("HEAD", "/things/1"), ("OPTIONS", "/things/1"), ("GET", "/nothing"), ("GET", "/things/"),
     ("GET", "/things/1/2"), ("GET", "/files/"), ("GET", "/things/static/")],
)  # fmt: skip
def test_no_route_is_not_found(sample: RunningSample, method: str, path: str) -> None:
    """A known path without this method is 404 as well, never 405; HEAD and OPTIONS are methods like any other."""
    answer = sample.http.request(method, path)
    assert answer.status_code == 404
    assert answer.content in (b'{"message":"Not Found"}', b"")


def test_missing_identity_is_unauthorized_without_a_call(sample: RunningSample) -> None:
    """Without the header the authorizer is not asked."""
    before = sum(worker["invocations"] for worker in sample.workers("Authorizer"))
    answer = sample.http.get("/guarded")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert sum(worker["invocations"] for worker in sample.workers("Authorizer")) == before


def test_refused_identity_is_forbidden(sample: RunningSample) -> None:
    """`isAuthorized: false` is 403."""
    answer = sample.http.get("/guarded", headers={"Authorization": "forbidden"})
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize("identity", ["broken", "odd"])
def test_failing_authorizer_is_an_internal_error(sample: RunningSample, identity: str) -> None:
    """An authorizer that raises, or answers something else than a simple response, is 500."""
    answer = sample.http.get("/guarded", headers={"Authorization": identity})
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_authorizer_gets_the_documented_event_and_its_context_is_passed_on(sample: RunningSample) -> None:
    """The handler finds the authorizer's context; the authorizer finds the request."""
    event = event_of(sample.http.get("/guarded?x=1", headers={"Authorization": "Bearer one"}))
    context = event["requestContext"]["authorizer"]["lambda"]
    seen = context["seen"]
    assert (seen["type"], seen["identitySource"], seen["routeKey"]) == ("REQUEST", ["Bearer one"], "GET /guarded")
    assert seen["routeArn"] == "arn:aws:execute-api:us-east-1:000000000000:local/$default/GET/guarded"
    assert seen["queryStringParameters"] == {"x": "1"}
    assert seen["headers"]["authorization"] == "Bearer one"
    assert "body" not in seen


def test_authorizer_is_cached_by_identity_source(sample: RunningSample) -> None:
    """The same header asks once for all routes; another one asks again."""

    def calls(path: str, identity: str) -> int:
        event = event_of(sample.http.get(path, headers={"Authorization": identity}))
        number: int = event["requestContext"]["authorizer"]["lambda"]["calls"]
        return number

    first = calls("/guarded", "cached")
    assert calls("/guarded", "cached") == first
    assert calls("/guarded/too", "cached") == first
    assert calls("/guarded", "another") > first


def test_body_above_ten_megabytes_is_refused(sample: RunningSample) -> None:
    """413 before any function is asked, announced by a length or not."""
    refused = (413, {"message": "Request Entity Too Large"})
    whole = sample.http.post("/things/1", content=b"x" * (10 * 1024 * 1024 + 1))
    assert (whole.status_code, whole.json()) == refused
    parts = sample.http.post("/things/1", content=iter([b"x" * 1024 * 1024] * 11))
    assert (parts.status_code, parts.json()) == refused


def test_event_above_six_megabytes_is_refused(sample: RunningSample) -> None:
    """Lambda takes six megabytes, and base64 needs a third more than the body."""
    answer = sample.http.post("/things/1", content=b"x" * (5 * 1024 * 1024))
    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})


def test_event_of_foreign_characters_counts_in_utf8(sample: RunningSample) -> None:
    """Five megabytes of text fit, whatever its script."""
    text = "é" * (5 * 1024 * 1024 // 2)
    body = json.dumps(text, ensure_ascii=False).encode()
    answer = sample.http.post("/result", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.content) == (200, text.encode())


def test_result_above_six_megabytes_is_an_internal_error(sample: RunningSample) -> None:
    """Lambda refuses to carry it."""
    body = "x" * (4 * 1024 * 1024)
    answer = sample.http.post("/twice", content=json.dumps(body), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_headers_above_ten_kilobytes_are_refused(sample: RunningSample) -> None:
    """431 for all headers together."""
    answer = sample.http.get("/things/static", headers={"x-long": "x" * 10_240})
    assert answer.status_code == 431


def test_function_that_takes_too_long_is_service_unavailable(sample: RunningSample) -> None:
    """Nobody waits longer than the gateway's limit, and the function goes on."""
    answer = sample.http.get("/slow")
    assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})
    assert any(worker["busy"] for worker in sample.workers("Slow"))


def test_function_error_is_an_internal_error(sample: RunningSample) -> None:
    """The client learns nothing of what went wrong inside."""
    answer = sample.http.get("/crash")
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def answer_to(sample: RunningSample, result: Any) -> httpx.Response:
    """The response that the gateway makes of a function's result."""
    return sample.http.post("/result", content=json.dumps(result), headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ("Hello", "Hello"),
        ({"message": "x"}, '{"message":"x"}'),
        ([1, 2], "[1,2]"),
        (None, "null"),
        ({"body": "x"}, '{"body":"x"}'),
    ],
)
def test_result_without_status_code_is_the_body(sample: RunningSample, result: Any, body: str) -> None:
    """It is a 200 of JSON."""
    answer = answer_to(sample, result)
    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["content-type"] == "application/json"


def test_result_with_status_code_is_the_response(sample: RunningSample) -> None:
    """Status, headers, cookies and a base64 body come out as the function says."""
    answer = answer_to(
        sample,
        {
            "statusCode": "418",
            "headers": {"Content-Type": "image/png", "X-Number": 7, "X-Many": "a,b", "Connection": "close"},
            "cookies": ["a=1; Path=/", "b=2"],
            "body": base64.b64encode(b"\x89PNG").decode(),
            "isBase64Encoded": True,
        },
    )
    assert (answer.status_code, answer.content) == (418, b"\x89PNG")
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["x-number"], answer.headers["x-many"]) == ("7", "a,b")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]
    assert "connection" not in answer.headers
    assert answer.headers["apigw-requestid"]


def test_result_without_content_type_is_plain_text(sample: RunningSample) -> None:
    """That is API Gateway's default once there is a status code."""
    answer = answer_to(sample, {"statusCode": 200, "body": "x"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_no_content_has_no_body(sample: RunningSample) -> None:
    """A 204 carries neither body nor length."""
    answer = answer_to(sample, {"statusCode": 204})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "x"},
        {"statusCode": 99},
        {"statusCode": None},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"x": ["list"]}},
        {"statusCode": 200, "cookies": "a=1"},
    ],
)
def test_malformed_result_is_an_internal_error(sample: RunningSample, result: Any) -> None:
    """What is no response cannot be made one."""
    answer = answer_to(sample, result)
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_pipelined_requests_are_answered_in_order(sample: RunningSample) -> None:
    """Two requests in one packet give two responses on one connection."""
    request = b"GET /things/%d HTTP/1.1\r\nhost: x\r\n%s\r\n"
    received = raw(sample, request % (1, b"") + request % (2, b"connection: close\r\n"))
    assert re.findall(rb'"pathParameters": {"id": "(\d)"}', received) == [b"1", b"2"]


def test_only_this_machine_can_connect(sample: RunningSample) -> None:
    """Both servers listen on the loopback interface alone."""
    assert sample.server._http_socket.getsockname()[0] == "127.0.0.1"
    assert sample.server._lambda_socket.getsockname()[0] == "127.0.0.1"


CORS = """
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration:
        AllowOrigins: ["https://app.example"]
        AllowMethods: [GET, POST]
        AllowHeaders: [authorization]
        MaxAge: 600
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.result
      Events:
        Post: {Type: HttpApi, Properties: {Method: POST, Path: /result}}
"""


def test_gateway_answers_preflight_and_owns_cors_headers(tmp_path: Any) -> None:
    """With CORS configured the function's own CORS headers are dropped, and preflight asks no function."""
    with running_sample(tmp_path, CORS) as sample:
        requested = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        preflight = sample.http.options("/result", headers=requested)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert preflight.headers["access-control-allow-methods"] == "GET,POST"
        assert preflight.headers["access-control-max-age"] == "600"
        result = json.dumps({"statusCode": 200, "headers": {"access-control-allow-origin": "*"}, "body": "x"})
        typed = {"content-type": "application/json"}
        answer = sample.http.post("/result", content=result, headers={**typed, "Origin": "https://app.example"})
        assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example"]
        answer = sample.http.post("/result", content=result, headers={**typed, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
