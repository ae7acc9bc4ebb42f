"""What the environment says."""

from __future__ import annotations

import pytest

from shared.settings import Settings

NEEDED = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_KEY": "unused"}


def test_ceiling_of_drains_is_read() -> None:
    """Unset, it is 32."""
    assert Settings.from_environment(NEEDED).max_drains == 32
    assert Settings.from_environment({**NEEDED, "MAX_DRAINS": "8"}).max_drains == 8


@pytest.mark.parametrize(("text", "message"), [("0", "at least 1"), ("-3", "at least 1"), ("few", "a whole number")])
def test_ceiling_that_is_none_is_refused(text: str, message: str) -> None:
    """Without any drain nothing would run; the error names the variable."""
    with pytest.raises(ValueError, match=f"MAX_DRAINS must be {message}"):
        Settings.from_environment({**NEEDED, "MAX_DRAINS": text})
