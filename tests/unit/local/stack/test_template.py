"""Reading SAM templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.stack.intrinsics import Resolver, TemplateError
from local.stack.template import Template, read_template

FUNCTION = """
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Events:
        Get: {{Type: HttpApi, Properties: {{Method: GET, Path: /x{auth}}}}}
"""
NO_AUTH, AUTH = "", ", Auth: {Authorizer: Missing}"


def read(tmp_path: Path, text: str) -> Template:
    """The template of this text."""
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return read_template(path)


def test_template_of_this_repository_can_be_run() -> None:
    """All its functions are found, with names that its own references lead to."""
    template = read_template(Path(__file__).parents[4] / "template.yaml")
    drain = template.functions["local-drain"]
    assert drain.environment["DRAIN_FUNCTION_NAME"] == "local-drain:live"
    assert [schedule.expression for schedule in drain.schedules] == ["rate(1 minute)"]
    assert {authorizer.function for authorizer in template.authorizers.values()} == {"local-authorizer"}


def test_function_without_settings_gets_lambdas_defaults(tmp_path: Path) -> None:
    """Three seconds, 128 MB, two retries."""
    template = read(tmp_path, "Resources:" + FUNCTION.format(name="One", auth=NO_AUTH))
    function = template.functions["One"]
    assert (function.timeout_seconds, function.memory_mb, function.async_retries) == (3, 128, 2)
    assert template.routes[0].key == "GET /x"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            FUNCTION.format(name="One", auth=NO_AUTH) + FUNCTION.format(name="Two", auth=NO_AUTH),
            "defined twice: GET /x",
        ),
        (FUNCTION.format(name="One", auth=AUTH), "not defined: Missing"),
        ("\n  A: {Type: AWS::Serverless::HttpApi}\n  B: {Type: AWS::Serverless::HttpApi}\n", "serves one HTTP API"),
        ("\n  A: {Type: AWS::Serverless::HttpApi, Properties: {DefinitionUri: x}}\n", "not from an OpenAPI"),
        ("\n  A: {Type: AWS::Serverless::Function, Properties: {Handler: !Cidr x}}\n", "cannot resolve Fn::Cidr"),
        ("\n  A: {Type: AWS::SQS::Queue, Condition: Nowhere}\n", "condition Nowhere is not defined"),
    ],
)
def test_what_cannot_run_here_is_refused(tmp_path: Path, resources: str, message: str) -> None:
    """Loudly, rather than run otherwise than on AWS."""
    with pytest.raises(TemplateError, match=message):
        read(tmp_path, "Resources:" + resources)


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Stage"}, "test"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Table"}, "Table"),
        ({"Fn::GetAtt": ["One", "Arn"]}, "arn:one"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "Table.Arn"),
        ({"Fn::Sub": "${Stage}-${One.Arn}-${!Literal}"}, "test-arn:one-${Literal}"),
        ({"Fn::Sub": ["${a}-${Stage}", {"a": {"Ref": "AWS::Region"}}]}, "us-east-1-test"),
        ({"Fn::Join": ["/", ["a", {"Ref": "Stage"}]]}, "a/test"),
        ({"Fn::If": ["IsTest", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsNotTest", "yes", {"Ref": "AWS::NoValue"}]}, None),
        ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}, 128),
        ({"kept": None, "left": {"Ref": "AWS::NoValue"}}, {"kept": None}),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
    ],
)
def test_intrinsics_are_resolved(value: object, resolved: object) -> None:
    """Parameters by their defaults, functions by their ARNs, all else by its own name."""
    document = {
        "Parameters": {"Stage": {"Default": "test"}},
        "Conditions": {
            "IsTest": {"Fn::Equals": [{"Ref": "Stage"}, "test"]},
            "IsNotTest": {"Fn::Not": [{"Condition": "IsTest"}]},
        },
        "Mappings": {"Sizes": {"test": {"memory": 128}}},
    }
    assert Resolver(document, {}, {}, {("One", "Arn"): "arn:one"}).resolve(value) == resolved
