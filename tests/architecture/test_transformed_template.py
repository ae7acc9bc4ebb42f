"""The template as SAM hands it to CloudFormation: what SAM adds is linted too, and rights are looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.stack.http_routes import spelled_out
from shared.json_types import JsonObject
from shared.nodes.registry import names
from shared.observability import UNITS
from tests.architecture.reached import reached

ROOT = Path(__file__).parents[2]
RESERVED = "ReservedConcurrentExecutions"
SAM_PYTHON = ROOT / ".local" / "lambda" / "tools" / "bin" / "python"


def transform(layer: str = ".") -> JsonObject:
    """The template after SAM's transform; `layer` is where `sam package` has put the layer."""
    if not SAM_PYTHON.exists():
        pytest.skip("the SAM CLI is not installed: run `make check` or `make test`, which install it")
    source = (ROOT / "template.yaml").read_text().replace("ContentUri: .", f"ContentUri: {layer}")
    command: list[str | Path] = [SAM_PYTHON, ROOT / "local" / "lambda_tools" / "transform.py", "/dev/stdin"]
    done = subprocess.run(command, input=source.encode(), check=True, capture_output=True)
    transformed: JsonObject = json.loads(done.stdout)
    return transformed


@pytest.fixture(scope="module")
def transformed() -> JsonObject:
    """The template after SAM's transform."""
    return transform()


def of_type(template: JsonObject, kind: str) -> dict[str, JsonObject]:
    """The properties of all resources of a type."""
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }


def test_transformed_template_has_no_finding(transformed: JsonObject, tmp_path: Path) -> None:
    """cfn-lint is content with what CloudFormation gets."""
    path = tmp_path / "template.json"
    path.write_text(json.dumps(transformed, default=str))
    command = [Path(sys.executable).with_name("cfn-lint"), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_role_may_do_everything(transformed: JsonObject) -> None:
    """No action and no resource of an inline policy is a mere star."""
    for name, role in of_type(transformed, "AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                assert "*" not in (statement["Action"], statement["Resource"]), name


def test_everybody_invokes_the_alias(transformed: JsonObject) -> None:
    """Routes, authorizer and schedule go to `live`, so that moving it is a whole rollback."""
    aliases = of_type(transformed, "AWS::Lambda::Alias")
    assert len(aliases) == len(of_type(transformed, "AWS::Lambda::Function"))
    (api,) = of_type(transformed, "AWS::ApiGatewayV2::Api").values()
    text = json.dumps(api["Body"], default=str)
    assert "FunctionAliaslive" in text
    assert "Function.Arn}/invocations" not in text
    (rule,) = of_type(transformed, "AWS::Events::Rule").values()
    assert rule["Targets"][0]["Arn"] == {"Ref": "DrainFunctionAliaslive"}
    assert "DeadLetterConfig" in rule["Targets"][0]


def test_failed_drains_are_kept(transformed: JsonObject) -> None:
    """The alias's asynchronous invocations have a destination on failure."""
    (config,) = of_type(transformed, "AWS::Lambda::EventInvokeConfig").values()
    assert config["Qualifier"] == "live"
    assert config["DestinationConfig"]["OnFailure"]["Destination"]


def test_dependency_alone_publishes_every_function_anew(transformed: JsonObject) -> None:
    """The alias serves versions: another layer makes other ones, though no function's own code has changed."""
    before = of_type(transformed, "AWS::Lambda::Version")
    after = of_type(transform(layer="s3://bucket/another"), "AWS::Lambda::Version")
    assert len(after) == len(before)
    assert not set(after) & set(before)


def test_routes_can_be_spelled_out(transformed: JsonObject) -> None:
    """For an emulator that reads no OpenAPI document: each path and method is a route, and what is open stays open."""
    resources = spelled_out(transformed)
    routes = {route["RouteKey"]: route for route in of_type(resources, "AWS::ApiGatewayV2::Route").values()}
    (api,) = of_type(transformed, "AWS::ApiGatewayV2::Api").values()
    assert len(routes) == sum(len(methods) for methods in api["Body"]["paths"].values())
    assert routes["POST /api/workflows"]["AuthorizerId"] == {"Ref": "BearerAuthorizer"}
    assert "AuthorizerId" not in routes["POST /webhooks/{webhookId}/{provider}"]


def test_no_log_level_drops_metrics(transformed: JsonObject) -> None:
    """Lambda takes lines without a level, as metrics are, for INFO; whoever asks for less still has alarms."""
    for name, function in of_type(transformed, "AWS::Lambda::Function").items():
        assert function["LoggingConfig"]["ApplicationLogLevel"] == {"Fn::If": ["LogsDebug", "DEBUG", "INFO"]}, name


def test_what_can_go_wrong_has_an_alarm(transformed: JsonObject) -> None:
    """Failed drains that are kept, 5xx, errors and silence of the drain, runs that nobody takes up, broken invariants,
    what is throttled, and the account's concurrency; each of them tells the topic, where there is one."""
    alarms = of_type(transformed, "AWS::CloudWatch::Alarm")
    own = {"Ref": "AWS::StackName"}
    watched = [(alarm["Namespace"], alarm["MetricName"], of(alarm)) for alarm in alarms.values()]
    drain = {"Ref": "DrainFunction"}
    wanted = [
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"Fn::GetAtt": ["DrainFailures", "QueueName"]}),
        ("AWS/ApiGateway", "5xx", {"Ref": "HttpApi"}),
        ("AWS/Lambda", "Errors", drain),
        ("AWS/Lambda", "Invocations", drain),
        (own, "OldestDueSeconds", None),
        (own, "InvariantViolations", None),
        (own, "RequestsThrottled", None),
        ("AWS/Lambda", "Throttles", None),
        ("AWS/Lambda", "ConcurrentExecutions", None),
    ]
    assert sorted(watched, key=str) == sorted(wanted, key=str)
    topic = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert [name for name, alarm in alarms.items() if alarm["AlarmActions"] != topic] == []
    # Only a drain that says nothing is told by the lack of data.
    (silence,) = (alarm for alarm in alarms.values() if alarm["TreatMissingData"] == "breaching")
    assert (silence["MetricName"], silence["ComparisonOperator"]) == ("Invocations", "LessThanThreshold")


def test_throttled_requests_are_counted_from_the_access_log(transformed: JsonObject) -> None:
    """The filter reads a field of the log's lines, as text, which is how they have it."""
    (counted,) = of_type(transformed, "AWS::Logs::MetricFilter").values()
    (stage,) = of_type(transformed, "AWS::ApiGatewayV2::Stage").values()
    assert stage["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": [counted["LogGroupName"]["Ref"], "Arn"]}
    assert counted["FilterPattern"] == '{ $.status = "429" }'
    assert json.loads(stage["AccessLogSettings"]["Format"])["status"] == "$context.status"


def test_budget_is_set_where_it_is_wanted(transformed: JsonObject) -> None:
    """And then it tells the topic, before the money is spent and when it will be."""
    resource = transformed["Resources"]["Budget"]
    assert resource["Condition"] == "HasBudget"
    kinds = []
    for each in resource["Properties"]["NotificationsWithSubscribers"]:
        kinds.append(each["Notification"]["NotificationType"])
        assert each["Subscribers"] == [{"SubscriptionType": "SNS", "Address": {"Ref": "AlarmTopicArn"}}]
    assert kinds == ["ACTUAL", "FORECASTED"]
    assert "BudgetNeedsTopic" in transformed["Rules"]


def of(alarm: JsonObject) -> Any:
    """What the alarm's metric is of."""
    (dimension,) = alarm.get("Dimensions", [{"Value": None}])
    return dimension["Value"]


def test_dashboard_and_alarms_show_metrics_that_are_written(transformed: JsonObject) -> None:
    """A name that nobody writes would show nothing, and never raise an alarm."""
    (dashboard,) = of_type(transformed, "AWS::CloudWatch::Dashboard").values()
    shown, own = set[str](), "${AWS::StackName}"
    for widget in json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]:
        namespace = name = ""
        for row in widget["properties"]["metrics"]:
            texts = [cell for cell in row if isinstance(cell, str)]
            if texts != ["..."]:  # the row above once more
                namespace = namespace if texts[0] == "." else texts[0]
                name = name if texts[1] == "." else texts[1]
            if namespace == own:
                shown.add(name)
    alarms = of_type(transformed, "AWS::CloudWatch::Alarm").values()
    watched = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == {"Ref": "AWS::StackName"}}
    assert watched < shown | {"InvariantViolations", *counted_from_logs(transformed)}
    assert (shown | watched) - set(UNITS) - counted_from_logs(transformed) == set()


def counted_from_logs(template: JsonObject) -> set[str]:
    """The names of metrics that CloudWatch makes of log lines."""
    filters = of_type(template, "AWS::Logs::MetricFilter").values()
    return {metric["MetricName"] for counted in filters for metric in counted["MetricTransformations"]}


def test_drains_have_a_ceiling(transformed: JsonObject) -> None:
    """Every function that wakes them knows how many there may be; Lambda enforces one, too, where it is wanted."""
    functions = of_type(transformed, "AWS::Lambda::Function")
    variables = {name: function["Environment"]["Variables"] for name, function in functions.items()}
    ceilings = {name: own["MAX_DRAINS"] for name, own in variables.items() if "DRAIN_FUNCTION_NAME" in own}
    assert len(ceilings) > 1
    assert all(ceiling == {"Ref": "MaxDrains"} for ceiling in ceilings.values()), ceilings
    reserved = {name: properties[RESERVED] for name, properties in functions.items() if RESERVED in properties}
    essential = {"Authorizer": "ReservesAuthorizer", "Drain": "ReservesDrains", "Intake": "ReservesIntake"}
    assert reserved == {
        f"{name}Function": {"Fn::If": [condition, {"Ref": f"{name}ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
        for name, condition in essential.items()
    }


def test_each_effect_on_aws_has_its_right_where_it_is_wanted(transformed: JsonObject) -> None:
    """The drain alone may do what a node type does, on the resources that a parameter names, and else nothing."""
    (policy,) = of_type(transformed, "AWS::IAM::Policy").values()
    assert policy["Roles"] == [{"Ref": "DrainFunctionRole"}]
    rights = {
        may["Action"]: (condition, may["Resource"])
        for condition, may, otherwise in (statement["Fn::If"] for statement in policy["PolicyDocument"]["Statement"])
        if otherwise == {"Ref": "AWS::NoValue"} and may["Effect"] == "Allow"
    }
    wanted = {
        "invoke_lambda": ("lambda:InvokeFunction", "InvokesFunctions", "InvokeFunctionArns"),
        "send_sqs_message": ("sqs:SendMessage", "SendsMessages", "SendQueueArns"),
        "publish_sns": ("sns:Publish", "PublishesMessages", "PublishTopicArns"),
        "put_event": ("events:PutEvents", "PutsEvents", "PutEventBusArns"),
        "send_email": ("ses:SendEmail", "SendsEmails", "SendEmailIdentityArns"),
    }
    assert {name for name in names() if "shared.nodes.aws_effect" in reached(f"shared.nodes.types.{name}")} == set(
        wanted
    )
    assert rights == {action: (condition, {"Ref": arns}) for action, condition, arns in wanted.values()}


def test_logs_end_and_everything_says_whose_it_is(transformed: JsonObject) -> None:
    """No log group is without a retention; each function logs to ours, is traced, tagged, and may have a snapshot."""
    groups = of_type(transformed, "AWS::Logs::LogGroup")
    assert {name for name, group in groups.items() if group["RetentionInDays"] == {"Ref": "LogRetentionDays"}} == {
        "AccessLogs",
        "FunctionLogs",
    }
    for name, function in of_type(transformed, "AWS::Lambda::Function").items():
        assert function["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogs"}, name
        assert function["TracingConfig"] == {"Mode": "Active"}, name
        assert {"Key": "application", "Value": {"Ref": "AWS::StackName"}} in function["Tags"], name
        assert function["SnapStart"] == {"ApplyOn": {"Ref": "SnapStart"}}, name


def test_api_has_one_stage_with_limits_and_an_access_log(transformed: JsonObject) -> None:
    """`$default`, throttled, logged in JSON with the request's id, and open to pages of named origins only."""
    (stage,) = of_type(transformed, "AWS::ApiGatewayV2::Stage").values()
    assert stage["StageName"] == "$default"
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] > 0
    assert json.loads(stage["AccessLogSettings"]["Format"])["request_id"] == "$context.requestId"
    (api,) = of_type(transformed, "AWS::ApiGatewayV2::Api").values()
    condition, cors, otherwise = api["Body"]["x-amazon-apigateway-cors"]["Fn::If"]
    assert (condition, otherwise) == ("HasCors", {"Ref": "AWS::NoValue"})
    assert {"allowOrigins", "allowMethods", "allowHeaders"} <= set(cors)
    assert {"ApiUrl", "WebhookUrlPattern"} <= set(transformed["Outputs"])


def test_credentials_may_come_from_secrets_manager(transformed: JsonObject) -> None:
    """The Supabase key and Redis's password are then named, not written: neither is a parameter of the deployment."""
    functions = of_type(transformed, "AWS::Lambda::Function").values()
    variables = [function["Environment"]["Variables"] for function in functions]
    keys = [own["SUPABASE_KEY"]["Fn::If"] for own in variables if "SUPABASE_KEY" in own]
    passwords = [own["REDIS_PASSWORD"]["Fn::If"][2]["Fn::If"] for own in variables if "REDIS_PASSWORD" in own]
    assert keys
    assert passwords
    for member, found in {"supabase_key": keys, "redis_password": passwords}.items():
        for condition, named, otherwise in found:
            assert condition == "HasConnectionSecret"
            reference = f"{{{{resolve:secretsmanager:${{ConnectionSecretArn}}:SecretString:{member}}}}}"
            assert named == {"Fn::Sub": reference}
            assert transformed["Parameters"][otherwise["Ref"]]["NoEcho"] is True
    assert transformed["Resources"]["SecretsKey"]["Type"] == "AWS::SecretsManager::Secret"
