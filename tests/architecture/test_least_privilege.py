"""Each function has the environment and the rights on AWS that its code uses: nothing is missing or superfluous."""

from __future__ import annotations

from functools import cache

import pytest

from local.stack.intrinsics import load
from local.tools.artifacts import folder_of
from shared.json_types import JsonObject
from tests.architecture.reached import ROOT, clients_made, literal_arguments, settings_read
from tests.architecture.test_layout import FUNCTIONS, handlers
from tests.architecture.test_transformed_template import of_type, transform

# What every function has: how it logs, and what makes Python start faster. None of it is a secret or an address.
EVERYBODYS = {"LOG_LEVEL", "METRICS_NAMESPACE", "PYDANTIC_DISABLE_PLUGINS", "PYTHONTZPATH"}
SECRET = {"SUPABASE_KEY", "REDIS_PASSWORD", "SECRETS_KEY_ARN"}
# The action for which a function makes a client of its own. A new client gets its line here.
ACTIONS = {"lambda": "lambda:InvokeFunction", "secretsmanager": "secretsmanager:GetSecretValue"}
# The action behind each of boto3's operations that nodes call.
NODE_ACTIONS = {
    ("lambda", "invoke"): "lambda:InvokeFunction",
    ("sqs", "send_message"): "sqs:SendMessage",
    ("sns", "publish"): "sns:Publish",
    ("events", "put_events"): "events:PutEvents",
    ("sesv2", "send_email"): "ses:SendEmail",
}


@cache
def template() -> JsonObject:
    """The template as SAM takes it."""
    return load(ROOT / "template.yaml")


def variables_of(function: str) -> set[str]:
    """The variables that the template gives to one function beyond everybody's."""
    return set(handlers()[function].get("Environment", {}).get("Variables", {}))


def test_globals_hold_what_everybody_needs() -> None:
    """No key, no password, no address of a server: a function that needs one says so."""
    assert set(template()["Globals"]["Function"]["Environment"]["Variables"]) == EVERYBODYS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_the_variables_that_it_reads_and_no_other(function: str) -> None:
    """Of those that the template sets for any function; where this fails, the function's `Environment` in
    template.yaml lacks a setting that its code reads, or has one that it does not."""
    set_anywhere = set().union(*(variables_of(name) for name in FUNCTIONS))
    assert variables_of(function) == settings_read(f"functions.{function}.app") & set_anywhere


def test_pages_and_authorizer_have_no_secret_that_they_do_not_need() -> None:
    """The pages have none, the authorizer only the key of the database in which it looks keys up."""
    assert variables_of("console") == set()
    assert variables_of("authorizer") & SECRET == {"SUPABASE_KEY"}
    for function in ("api_keys", "audit", "secrets"):
        assert "REDIS_PASSWORD" not in variables_of(function), function


def test_derivation_finds_what_is_asked_for_by_way_of_the_services() -> None:
    """The drain reads Redis's password through the client that `Services` makes for it; the pages come to nothing."""
    assert {"REDIS_PASSWORD", "SUPABASE_KEY", "SECRETS_KEY_ARN"} <= settings_read("functions.drain.app")
    assert settings_read("functions.console.app") == set()


@pytest.fixture(scope="module")
def roles() -> dict[str, set[str]]:
    """Function folder → the actions of its role's inline policies."""
    return {
        folder_of(name.removesuffix("Role")): {
            action
            for policy in role.get("Policies", ())
            for statement in policy["PolicyDocument"]["Statement"]
            for action in listed(statement["Action"])
        }
        for name, role in of_type(transform(), "AWS::IAM::Role").items()
    }


def listed(value: str | list[str]) -> list[str]:
    """A list as it is, a text as a list of one."""
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_may_do_what_its_function_does_and_no_more(roles: dict[str, set[str]], function: str) -> None:
    """The actions of its clients; the drain's role may also put what failed into its queue, which SAM adds."""
    expected = {ACTIONS[service] for service in clients_made(f"functions.{function}.app")}
    assert roles[function] == expected | ({"sqs:SendMessage"} if function == "drain" else set())


def test_rights_for_nodes_are_what_the_nodes_call() -> None:
    """The policy that parameters turn on has the actions of boto3's operations, which nodes name."""
    nodes = sorted((ROOT / "shared/nodes/types").glob("*.py"))
    calls = [call for node in nodes for call in literal_arguments(f"shared.nodes.types.{node.stem}", "aws_call")]
    policy = template()["Resources"]["DrainEffects"]["Properties"]["PolicyDocument"]
    statements = [statement["Fn::If"][1] for statement in policy["Statement"]]
    assert {NODE_ACTIONS[str(call[2]), str(call[3])] for call in calls} == {one["Action"] for one in statements}
