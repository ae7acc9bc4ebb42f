"""Requests to `/rpc/<function>`."""

from __future__ import annotations

from local.gateway import functions
from local.gateway.answer import Answer, Reply, Result, content_range, range_status
from local.gateway.auth import Caller
from local.gateway.database import Database
from local.gateway.errors import GatewayError, PostgresError
from local.gateway.query import parse
from local.gateway.request import Request, preferences
from local.gateway.schema import Function
from local.gateway.tables import Shape


async def answer(database: Database, request: Request, caller: Caller, name: str) -> Answer:
    """The answer to a call by POST with a JSON body, or by GET or HEAD with the arguments in the query string."""
    if request.method != "POST" and not request.reads:
        raise GatewayError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    prefer = preferences(request.headers.get(b"prefer"))
    single = request.wants_object()
    path = (request.schema(database.config.schemas), name)
    if request.reads:
        request.refuse_range()
    else:
        request.check_content_type()
        if not request.query and not single and "count" not in prefer:
            direct = await _direct(database, request, caller, path, prefer)
            if direct is not None:
                return direct
    query = parse(request.query, with_arguments=request.reads)
    shape = Shape(rows=request.method != "HEAD", single=single, total="count" in prefer)
    limit = database.config.max_rows
    if request.reads:
        function, call = functions.by_query(database.schema, path, query, shape, limit)
    else:
        function, call = functions.by_body(database.schema, path, query, shape, limit, request.body)
    read_only, checked = request.reads or function.read_only, single and function.many
    result = await database.run(
        call, request, caller, path[0], read_only=read_only, local=function.settings, single=checked
    )
    reply = _reply(database, function, result, prefer, query.offset)
    if reply.status != 204:
        reply.status = range_status(query.offset, result.count, result.total)
    reply.single = single
    return reply.answer()


async def _direct(
    database: Database, request: Request, caller: Caller, path: tuple[str, str], prefer: dict[str, str]
) -> Answer | None:
    """The answer by the short way; None when the function or the body does not allow it."""
    direct = database.direct.get(path)
    call = direct.statement(request.body) if direct is not None else None
    if direct is None or call is None:
        return None
    function = direct.function
    try:
        result = await database.run(
            call, request, caller, path[0], read_only=function.read_only, local=function.settings
        )
    except PostgresError as error:
        # Nothing was done: either the function itself raised this, or the body has another form.
        if error.code == "22P02" and not direct.describes(request.body):
            return None
        raise
    return _reply(database, function, result, prefer).answer()


def _reply(database: Database, function: Function, result: Result, prefer: dict[str, str], first: int = 0) -> Reply:
    void = function.returns == "void"
    return Reply(
        status=204 if void else 200,
        result=result,
        profile=database.profile(function.schema),
        applied=[f"{key}={value}" for key, value in prefer.items() if key in ("count", "handling")],
        headers=[content_range(first, result.count, result.total)],
        empty=void,
    )
