"""The base of all request bodies: a frozen pydantic model that refuses unknown fields."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from shared.domain.timestamps import in_utc
from shared.ids import is_uuid

# RFC 3339, section 5.6, from the year 1000 on: Python's parser also takes week dates and times without an offset.
_RFC3339 = re.compile(r"[1-9]\d{3}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Command(BaseModel):
    """A request body. Numbers are not read out of texts, and unknown fields are refused by name."""

    # Built on first use: a cold start builds no validators of models that are not asked for.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _moment(text: str) -> str:
    if not _RFC3339.fullmatch(text):
        raise ValueError("This is not an RFC 3339 time, like 2026-01-31T12:00:00Z.")
    try:
        # RFC 3339 allows `t` and `z` in lower case.
        return in_utc(text.upper()) or text
    except (ValueError, OverflowError) as error:
        raise ValueError("There is no such time.") from error


def _uuid(text: str) -> str:
    if not is_uuid(text.lower()):
        raise ValueError("This is not a UUID.")
    return text.lower()


# An RFC 3339 time, kept in the service's form.
Moment = Annotated[str, AfterValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
# A UUID in any case, kept in lower case.
Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
Name = Annotated[str, Field(min_length=1, max_length=200)]
