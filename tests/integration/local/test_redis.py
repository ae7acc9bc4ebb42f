"""The embedded Valkey."""

from __future__ import annotations

from pathlib import Path

import redis

from local.stack.redis import RedisServer


def test_redis_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    """What was written is there after stop and start, on the same port."""
    with RedisServer(tmp_path / "data") as server:
        with redis.Redis(port=server.port) as client:
            client.set("kept", "7")
        port = server.port
        server.stop()
        server.start()
        assert server.port == port
        with redis.Redis(port=server.port) as client:
            assert client.get("kept") == b"7"
