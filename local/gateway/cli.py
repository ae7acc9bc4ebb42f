"""`python -m local supabase`: serve a database until the process is ended."""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
from pathlib import Path

import uvicorn

from local.gateway.app import Gateway
from local.gateway.auth import Authenticator
from local.gateway.database import Config

# Longer than clients keep an idle connection, so that none sends a request into one that is being closed.
_KEEP_ALIVE_SECONDS = 75


def main(argv: list[str]) -> int:
    """The exit code: 0 after a normal end, 1 when the gateway could not start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    if options.jwt_secret is None:
        options.jwt_secret = secrets.token_urlsafe(32)
        print(f"JWT_SECRET={options.jwt_secret}", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            gateway(options),
            host=options.host,
            port=options.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
    )
    server.run()
    return 0 if server.started else 1


def gateway(options: argparse.Namespace) -> Gateway:
    """The application that the options describe."""
    config = Config(
        database_url=options.database_url,
        schemas=_listed(options.schemas),
        extra_search_path=_listed(options.extra_search_path),
        max_rows=options.max_rows,
        pool_size=options.pool_size,
        pre_request=options.pre_request,
    )
    authenticator = Authenticator(
        options.jwt_secret,
        json.loads(options.jwks.read_text()) if options.jwks else None,
        anon_role=options.anon_role,
        publishable_key=options.publishable_key,
        secret_key=options.secret_key,
        require_apikey=options.require_apikey,
    )
    return Gateway(config, authenticator)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local supabase", description="Serve Postgres as Supabase's REST API."
    )
    parser.add_argument("--database-url", required=True, help="signs in as authenticator, or a role with its rights")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=54321)
    parser.add_argument("--schemas", default="public", help="exposed, comma-separated; the first is the default")
    parser.add_argument("--extra-search-path", default="public,extensions")
    parser.add_argument("--max-rows", type=int, default=1000, help="the most rows that a read answers")
    parser.add_argument(
        "--jwt-secret",
        default=os.environ.get("JWT_SECRET"),
        help="the HS256 secret, or a JSON Web Key Set as text; unset, $JWT_SECRET, or one is made and shown",
    )
    parser.add_argument("--jwks", type=Path, help="a file with a JSON Web Key Set of further keys")
    parser.add_argument("--anon-role", default="anon")
    parser.add_argument("--publishable-key", help="the sb_publishable_… key")
    parser.add_argument("--secret-key", help="the sb_secret_… key")
    parser.add_argument("--require-apikey", action="store_true", help="refuse requests without a known apikey header")
    parser.add_argument("--pre-request", help="a function to call before each request, in SQL")
    parser.add_argument("--pool-size", type=int, default=10)
    return parser


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
