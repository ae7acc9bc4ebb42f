"""What the effects on AWS share: the tenant's allow-list, and AWS's errors as a node's.

All tenants' runs have the drain's one role. So a resource is only used when the deployment's allow-list gives it to the
tenant: by entries `tenant_id=resource`, or `*=resource` for all. A resource is written there as in the node's parameter
(an ARN, a queue's URL, a sender's address), and `*` in it stands for anything. IAM is the outer wall: the role has no
more than `template.yaml` is told to give it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from shared.domain.glob import fits
from shared.json_types import JsonObject
from shared.nodes.node_kinds import EffectContext, NodeError

Arn = Annotated[str, Field(max_length=2_048, pattern=r"^arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+:\d{12}:.+$")]


def is_allowed(tenant_id: str, resource: str, entries: Iterable[str]) -> bool:
    """Whether the allow-list's entries `tenant_id=resource` give the resource to the tenant."""
    given = (entry.partition("=") for entry in entries)
    is_line = "\n" not in resource
    return is_line and any(tenant in (tenant_id, "*") and fits(resource, pattern) for tenant, _, pattern in given)


async def aws_call(effect: EffectContext, resource: str, service: str, operation: str, **arguments: Any) -> Any:
    """What the service answers; a resource that is not the tenant's, and every failure, raises `NodeError`."""
    if not is_allowed(effect.tenant_id, resource, effect.permissions.aws):
        raise NodeError("aws_refused", f"{resource} is not among the resources that this tenant's workflows may use.")
    from shared.aws.calls import AwsCallError, call

    region = resource.split(":")[3] if resource.startswith("arn:") else None
    try:
        return await call(effect.tenant_id, service, operation, effect.timeout_seconds, region, **arguments)
    except AwsCallError as error:
        raise NodeError(error.code, error.message, error.details) from error


def said(answer: Any, name: str) -> Any:
    """What the service says under this name; an answer without it raises `NodeError`: it is none of the service's."""
    if not isinstance(answer, dict) or name not in answer:
        raise NodeError("network", f"The service's answer has no {name}.")
    return answer[name]


def given(**arguments: Any) -> JsonObject:
    """The arguments without those that are unset: boto3 refuses None."""
    return {name: value for name, value in arguments.items() if value is not None}
