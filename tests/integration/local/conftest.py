"""The sample functions, served once for the module that uses them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.local.sample_functions import RunningSample, running_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSample]:
    """A running server of the sample functions; the gateway waits 2 s instead of 30 s for a function.

    Its event loop runs in a thread of this process: it must have ended before a test of another module moves the clock.
    """
    folder = tmp_path_factory.mktemp("sample")
    with running_sample(folder, integration_seconds=2, async_retry_seconds=0.05) as running:
        yield running
