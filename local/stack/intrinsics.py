"""Reads CloudFormation YAML and resolves its intrinsic functions as far as a local stack can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.json_types import JsonMapping, JsonObject

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
PSEUDO_PARAMETERS = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "local",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/local/local",
    "AWS::NoValue": None,
}


class TemplateError(ValueError):
    """The template has something that the local stack cannot run; the message names it."""


class _Loader(yaml.SafeLoader):
    """Safe YAML plus CloudFormation's short forms: `!Sub x` becomes `{"Fn::Sub": "x"}`."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> JsonObject:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> JsonObject:
    """The template as plain data, its intrinsics in their long form. A file that is no mapping is a `TemplateError`."""
    document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 -- a subclass of the safe loader
    if not isinstance(document, dict):
        raise TemplateError(f"{path} is not a CloudFormation template.")
    return document


class Resolver:
    """Replaces intrinsics by values: parameters by the given ones or their defaults, resources by what `refs` says."""

    def __init__(
        self,
        document: JsonMapping,
        parameters: Mapping[str, str],
        refs: Mapping[str, str],
        attributes: Mapping[tuple[str, str], str],
    ) -> None:
        """`refs` gives what `Ref` of a resource is, `attributes` what `GetAtt` is; others become their own names."""
        defaults = {name: entry.get("Default", "") for name, entry in (document.get("Parameters") or {}).items()}
        self._values: JsonObject = {**PSEUDO_PARAMETERS, **defaults, **refs, **parameters}
        self._attributes = attributes
        self._conditions: JsonMapping = document.get("Conditions") or {}
        self._mappings: JsonMapping = document.get("Mappings") or {}

    def resolve(self, value: object) -> Any:
        """`value` with every intrinsic in it replaced; entries that become `AWS::NoValue` are left out."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name in ("Ref", "Condition") or (isinstance(name, str) and name.startswith("Fn::")):
                return self._call(name, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not None or value[key] is None}

    def holds(self, condition: str) -> bool:
        """Whether the named condition of the template is true."""
        if condition not in self._conditions:
            raise TemplateError(f"The condition {condition} is not defined.")
        return bool(self.resolve(self._conditions[condition]))

    def _call(self, name: str, argument: Any) -> Any:  # noqa: C901 -- a table of one-line cases reads best
        match name:
            case "Ref":
                return self._values.get(argument, argument)
            case "Condition":
                return self.holds(argument)
            case "Fn::GetAtt":
                logical_id, attribute = argument
                return self._attributes.get((logical_id, attribute), f"{logical_id}.{attribute}")
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::Join":
                separator, parts = self.resolve(argument)
                return separator.join(map(str, parts))
            case "Fn::If":
                condition, when_true, when_false = argument
                return self.resolve(when_true if self.holds(condition) else when_false)
            case "Fn::Equals":
                left, right = self.resolve(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.resolve(argument)[0]
            case "Fn::And":
                return all(self.resolve(argument))
            case "Fn::Or":
                return any(self.resolve(argument))
            case "Fn::Select":
                index, options = self.resolve(argument)
                return options[int(index)]
            case "Fn::Split":
                separator, text = self.resolve(argument)
                return text.split(separator)
            case "Fn::FindInMap":
                mapping, first, second = self.resolve(argument)
                return self._mappings[mapping][first][second]
            case _:
                raise TemplateError(f"The local stack cannot resolve {name}.")

    def _substitute(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return str(own[name])
            if "." in name:
                return str(self._call("Fn::GetAtt", name.split(".", 1)))
            return str(self._values.get(name, name))

        return re.sub(r"\$\{([^}]+)\}", replace, text)
