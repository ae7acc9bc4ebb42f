"""What a function returns can be sent."""

from __future__ import annotations

import json

import pytest

from shared.http.api import Api
from shared.http.operation import Operation
from shared.http.request import Request
from shared.http.responses import Response

LAMBDA_BYTES = 6_291_556
OPERATION = Operation(
    id="get_x", method="GET", path="/x", summary="X", description="X.", tag="x", role=None, answers={}
)


async def answer(request: Request) -> Response:
    """As long an answer as is asked for, of the character that is asked for."""
    character, size = request.headers["of"], int(request.headers["size"])
    return Response(200, {"text": character * size})


@pytest.mark.parametrize(
    ("character", "size", "status"),
    [("y", 6_000_000, 200), ("y", 6_300_000, 422), ('"', 1_500_000, 200), ('"', 1_700_000, 422), ("é", 3_200_000, 422)],
)
def test_answer_that_is_too_large_is_a_problem(character: str, size: int, status: int) -> None:
    """And not a 500 of whoever cannot send it, which says nothing."""
    event = {"routeKey": "GET /x", "headers": {"of": character, "size": str(size)}}
    sent = Api("x", (OPERATION, answer)).handler(event, None)
    assert sent["statusCode"] == status
    assert len(json.dumps(sent, ensure_ascii=False).encode()) < LAMBDA_BYTES
    if status == 422:
        assert json.loads(sent["body"])["code"] == "limit"
