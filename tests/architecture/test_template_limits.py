"""What the template keeps apart: concurrency for what must always answer, and throttles for routes that are open."""

from __future__ import annotations

from functools import cache

import pytest

from local.stack.intrinsics import load
from shared.json_types import JsonObject
from tests.architecture.reached import ROOT

# Without these nothing is accepted, let in, or run.
ESSENTIAL = ("Intake", "Authorizer", "Drain")
WEBHOOK_ROUTE = "POST /webhooks/{webhookId}/{provider}"


@cache
def template() -> JsonObject:
    """The template as SAM takes it."""
    return load(ROOT / "template.yaml")


def routes_settings() -> dict[str, JsonObject]:
    """The settings of single routes, by the route's key."""
    settings: dict[str, JsonObject] = template()["Resources"]["HttpApi"]["Properties"].get("RouteSettings", {})
    return settings


def open_routes() -> set[str]:
    """The keys of all routes that anybody may call."""
    return {
        f"{route['Properties']['Method']} {route['Properties']['Path']}"
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
        for route in resource["Properties"].get("Events", {}).values()
        if route["Properties"].get("Auth") == {"Authorizer": "NONE"}
    }


@pytest.mark.parametrize("function", ESSENTIAL)
def test_essential_function_can_have_concurrency_of_its_own(function: str) -> None:
    """A parameter reserves it; 0, the default, reserves none, since a new account may have none to reserve."""
    parameter, condition = f"{function}ReservedConcurrency", f"Reserves{function}"
    condition += "s" if function == "Drain" else ""
    properties = template()["Resources"][f"{function}Function"]["Properties"]
    wanted = {"Fn::If": [condition, {"Ref": parameter}, {"Ref": "AWS::NoValue"}]}
    assert properties["ReservedConcurrentExecutions"] == wanted
    assert template()["Parameters"][parameter]["Default"] == 0
    assert template()["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, 0]}]}


def test_open_routes_are_throttled_apart() -> None:
    """Each route without an authorizer has limits of its own, and no other route has; deliveries have theirs alone."""
    assert set(routes_settings()) == open_routes()
    for route, settings in routes_settings().items():
        kind = "Webhook" if route == WEBHOOK_ROUTE else "Open"
        assert settings["ThrottlingRateLimit"] == {"Ref": f"{kind}RateLimit"}, route
        assert settings["ThrottlingBurstLimit"] == {"Ref": f"{kind}BurstLimit"}, route
        assert settings["DetailedMetricsEnabled"] is True, route


def test_open_routes_together_leave_room_for_the_api() -> None:
    """By their defaults, an open route other than that of deliveries takes at most a tenth of the API's rate."""
    defaults = template()["Resources"]["HttpApi"]["Properties"]["DefaultRouteSettings"]
    assert template()["Parameters"]["OpenRateLimit"]["Default"] * 10 <= defaults["ThrottlingRateLimit"]
