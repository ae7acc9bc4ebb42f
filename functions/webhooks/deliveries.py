"""The delivery log, and running a delivery of it again."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.webhooks.redeliver import Redeliver, redeliver
from shared.commands.webhooks.redeliver_many import RedeliverMany, redeliver_many
from shared.http.cursor import decode_keyset, encode_keyset
from shared.http.idempotency_key import idempotency_key
from shared.http.paging import paged
from shared.http.parameters.webhooks import ListDeliveries
from shared.http.request import Request
from shared.http.responses import Response, accepted, ok
from shared.queries.webhooks.get_delivery import get_delivery
from shared.queries.webhooks.list_deliveries import list_deliveries


async def deliveries(request: Request) -> Response:
    query, webhooks = request.query(ListDeliveries), services().webhooks
    place = (query.limit, decode_keyset(query.cursor), query.verdict, query.since, query.until, query.event_type)
    return paged(await list_deliveries(webhooks, request.tenant_id, request.id, *place))


async def delivery(request: Request) -> Response:
    webhooks, events = services().webhooks, services().events
    return ok(await get_delivery(webhooks, events, request.tenant_id, request.id, request.path["delivery_id"]))


async def run_again(request: Request) -> Response:
    key = idempotency_key(request.headers)
    wanted = request.body(Redeliver).include_unverified
    place = (request.id, request.path["delivery_id"], key)
    run = await redeliver(services(), request.actor, *place, include_unverified=wanted)
    return accepted(run, f"/api/executions/{run['execution_id']}")


async def run_many_again(request: Request) -> Response:
    command, key = request.body(RedeliverMany), idempotency_key(request.headers)
    before = decode_keyset(command.cursor)
    done, following = await redeliver_many(services(), request.actor, request.id, command, before, key)
    return Response(202, {**done, "next_cursor": encode_keyset(following)})
