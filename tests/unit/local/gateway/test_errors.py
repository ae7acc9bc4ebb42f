"""Errors in PostgREST's form."""

from __future__ import annotations

import json

import pytest

from local.gateway.errors import GatewayError, PostgresError, guc_headers


@pytest.mark.parametrize(
    ("code", "status"),
    [("23505", 409), ("23514", 400), ("22P02", 400), ("42501", 403), ("42883", 404), ("57014", 500), ("53300", 503)],
)
def test_a_sqlstate_has_its_status(code: str, status: int) -> None:
    """The table of PostgREST decides."""
    assert PostgresError(code, "m", None, None).for_client(anonymous=False).status == status


@pytest.mark.parametrize(("code", "status"), [("PT409", 409), ("PT999", 500), ("PT40A", 500), ("PT100", 500)])
def test_a_pt_code_is_its_own_status(code: str, status: int) -> None:
    """PT and a final HTTP status; anything else is the function's bug."""
    assert PostgresError(code, "m", None, None).for_client(anonymous=False).status == status


def test_an_answer_never_breaks_its_headers() -> None:
    """A code with a line break, which a function may raise, makes no second header."""
    raised = PostgresError("PGRST", '{"code":"a\\nb","message":"m"}', '{"status":418,"headers":{"X-A":"1"}}', None)
    status, headers, body = raised.for_client(anonymous=False).answer()
    assert (status, dict(headers)[b"proxy-status"], dict(headers)[b"x-a"]) == (418, b"PostgREST; error=ab", b"1")
    assert json.loads(body) == {"code": "a\nb", "message": "m", "details": None, "hint": None}


@pytest.mark.parametrize("text", [b"{}x", b'{"A":"1"}', b'[{"A":1}]', b'[{"A":"1\\n2"}]', b'[{"A":"1","B":"2"}]', b"1"])
def test_headers_of_a_function_are_checked(text: bytes) -> None:
    """Only a list of single string pairs becomes headers."""
    with pytest.raises(GatewayError) as error:
        guc_headers(text)
    assert error.value.code == "PGRST111"
