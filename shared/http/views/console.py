"""The shapes of answers under /docs, /openapi.json and /console."""

from __future__ import annotations

from pydantic import BaseModel


class OpenApiView(BaseModel):
    """An OpenAPI 3.1 document."""

    openapi: str
