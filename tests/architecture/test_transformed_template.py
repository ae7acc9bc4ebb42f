"""The template as SAM hands it to CloudFormation: what SAM adds is linted too, and rights are looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SAM_PYTHON = ROOT / ".local" / "lambda" / "tools" / "bin" / "python"


@pytest.fixture(scope="module")
def transformed() -> dict[str, Any]:
    """The template after SAM's transform."""
    if not SAM_PYTHON.exists():
        pytest.skip("make check and make test install the SAM CLI first")
    command = [SAM_PYTHON, ROOT / "local" / "lambda_tools" / "transform.py", ROOT / "template.yaml"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type."""
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }


def test_transformed_template_has_no_finding(transformed: dict[str, Any], tmp_path: Path) -> None:
    """cfn-lint is content with what CloudFormation gets."""
    path = tmp_path / "template.json"
    path.write_text(json.dumps(transformed, default=str))
    command = [Path(sys.executable).with_name("cfn-lint"), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_role_may_do_everything(transformed: dict[str, Any]) -> None:
    """No action and no resource of an inline policy is a mere star."""
    for name, role in of_type(transformed, "AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                assert "*" not in (statement["Action"], statement["Resource"]), name


def test_everybody_invokes_the_alias(transformed: dict[str, Any]) -> None:
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


def test_failed_drains_are_kept(transformed: dict[str, Any]) -> None:
    """The alias's asynchronous invocations have a destination on failure."""
    (config,) = of_type(transformed, "AWS::Lambda::EventInvokeConfig").values()
    assert config["Qualifier"] == "live"
    assert config["DestinationConfig"]["OnFailure"]["Destination"]
