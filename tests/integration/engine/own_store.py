"""`supabase_gateway` for a module that imports it: drains count what they do, and sweep what other tests have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.tokens import LocalKeys


@pytest.fixture(scope="module")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """A database of the module's own."""
    folder = tmp_path_factory.mktemp("own")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()
