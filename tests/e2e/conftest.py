"""Clients of the running stack, as fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.stack.stack import LocalStack
from tests.e2e.clients import client_of


@pytest.fixture(scope="module")
def http(stack: LocalStack, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """An administrator of a tenant of the module's own."""
    with client_of(stack, stack.new_tenant(request.path.stem).api_key) as client:
        yield client
