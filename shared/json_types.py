"""The types of JSON as Python reads it. `Any` stands here so that it need not stand elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Any JSON value: what reads it has to look at its type first.
JsonValue = object
# An object of JSON, its values any JSON values.
JsonObject = dict[str, Any]
# One that is only read.
JsonMapping = Mapping[str, Any]
