"""Prints the template as SAM hands it to CloudFormation. Code that is in S3 already stays where it is.

Run by the Python of the SAM CLI, which has the translator.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]

CODE = "s3://bucket/key"


class _ManagedPolicies:
    """The translator's table of managed policies by name, which otherwise is asked of AWS: the template uses none."""

    def load(self) -> dict[str, str]:
        """Nothing."""
        return {}


os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
template = yaml_parse(Path(sys.argv[1]).read_text())
template["Globals"]["Function"]["CodeUri"] = CODE
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::LayerVersion" and not resource["Properties"]["ContentUri"].startswith(
        "s3:"
    ):
        resource["Properties"]["ContentUri"] = CODE
json.dump(transform(template, {}, _ManagedPolicies()), sys.stdout, default=str)
