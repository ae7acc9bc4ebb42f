"""Shared by the effects on AWS: the check against the tenant's allow-list, and AWS errors as node errors.

All tenants' runs use the drain's one IAM role. So a resource is only used when the deployment's allow-list grants it to
the tenant: by entries `tenant_id=resource`, or `*=resource` for all. A resource is written there as in the node's
parameter (an ARN, a queue's URL, a sender's address), and `*` in it is a wildcard. IAM is the second limit: the role
has only the permissions that `template.yaml` is configured with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import Field

from shared.domain.glob import fits
from shared.domain.secret_hosts import Destination
from shared.json_types import JsonObject
from shared.nodes.node_kinds import EffectContext, NodeError, Parameters

Arn = Annotated[str, Field(max_length=2_048, pattern=r"^arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+:\d{12}:.+$")]


def is_allowed(tenant_id: str, resource: str, entries: Iterable[str]) -> bool:
    """Whether the allow-list's entries `tenant_id=resource` grant the resource to the tenant."""
    grants = (entry.partition("=") for entry in entries)
    # No resource's name has a second line, on which a pattern could match.
    is_line = "\n" not in resource
    return is_line and any(tenant in (tenant_id, "*") and fits(resource, pattern) for tenant, _, pattern in grants)


async def aws_call(effect: EffectContext, resource: str, service: str, operation: str, **arguments: object) -> Any:
    """The service's response; a resource that is not granted to the tenant, and every failure, raises `NodeError`."""
    if not is_allowed(effect.tenant_id, resource, effect.permissions.aws):
        raise NodeError("aws_refused", f"{resource} is not among the resources that this tenant's workflows may use.")
    from shared.aws.calls import AwsCallError, call

    # An ARN names its region, which may be another one than the drain's.
    region = resource.split(":")[3] if resource.startswith("arn:") else None
    try:
        return await call(effect.tenant_id, service, operation, effect.timeout_seconds, region, **arguments)
    except AwsCallError as error:
        raise NodeError(error.code, error.message, error.details) from error


def aws_destination(service: str) -> Callable[[Parameters], Destination]:
    """The destination of a node that calls this service: for secrets' bindings, its host without a region."""
    destination = Destination(f"{service}.amazonaws.com", 443, True)
    return lambda _parameters: destination


def response_field(response: object, name: str) -> Any:
    """The value of a field that every response of the service has; one without it raises `NodeError`, as a proxy sent
    it."""
    if not isinstance(response, dict) or name not in response:
        raise NodeError("network", f"The service's answer has no {name}.")
    return response[name]


def without_none(**arguments: object) -> JsonObject:
    """The arguments without those that are `None`, which boto3 refuses."""
    return {name: value for name, value in arguments.items() if value is not None}
