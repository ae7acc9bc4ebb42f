"""Invokes a Lambda function and yields `{status_code, payload, executed_version?}`.

The run's idempotency key is `context.client_context.custom["idempotency_key"]` in the function, where it waits for its
answer (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html); with `Event`, Lambda passes no context.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Literal

from shared.domain.json.body_parsing import read_json
from shared.errors import InvalidRequestError
from shared.nodes.aws_effect import Arn, aws_call, aws_destination, response_field, without_none
from shared.nodes.node_kinds import Completed, Effect, EffectContext, NodeError, Parameters
from shared.nodes.node_type import NodeType, out_or_error


class InvokeLambda(Parameters):
    """`function_name` is the function's ARN, with a version or an alias at its end if one is meant.

    `invocation_type`: `RequestResponse` waits for what the function returns, `Event` does not. A function that fails is
    an error `function_error`.
    """

    function_name: Arn
    payload: object = None
    invocation_type: Literal["RequestResponse", "Event"] = "RequestResponse"


async def _perform(parameters: InvokeLambda, effect: EffectContext) -> Completed:
    waits = parameters.invocation_type == "RequestResponse"
    context = json.dumps({"custom": {"idempotency_key": effect.idempotency_key}}).encode()
    response = await aws_call(
        effect,
        parameters.function_name,
        "lambda",
        "invoke",
        **without_none(
            FunctionName=parameters.function_name,
            InvocationType=parameters.invocation_type,
            Payload=json.dumps(parameters.payload).encode(),
            ClientContext=base64.b64encode(context).decode() if waits else None,
        ),
    )
    raw = response.get("Payload") or b""
    payload = await effect.turns.take(effect.tenant_id, partial(_payload, raw), len(raw))
    if response.get("FunctionError"):
        error_type = payload.get("errorType") if isinstance(payload, dict) else None
        message = payload.get("errorMessage") if isinstance(payload, dict) else str(payload)
        # Redacted before it is cut: a part of a secret at the end would not be found.
        text = effect.redact(f"{error_type or 'Error'}: {message}")[:2_000]
        raise NodeError("function_error", text, without_none(error_type=error_type))
    version = response.get("ExecutedVersion")
    output = without_none(status_code=response_field(response, "StatusCode"), executed_version=version)
    return Completed(output | {"payload": payload})


def _payload(raw: bytes) -> object:
    """The function's result; one that is not JSON that can be recorded, such as `NaN`, as a string."""
    try:
        return read_json(raw) if raw else None
    except InvalidRequestError:
        return raw.decode(errors="replace")


NODE = NodeType(
    "invoke_lambda",
    "Invoke a Lambda function",
    InvokeLambda,
    Effect(_perform, aws_destination("lambda")),
    handles=out_or_error,
)
