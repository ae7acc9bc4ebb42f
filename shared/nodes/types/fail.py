"""Fails with an error of the workflow's own; by default that fails the run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.nodes.node_kinds import Completed, NodeError, NodeInputs, Parameters, Pure
from shared.nodes.node_type import NodeType


class Fail(Parameters):
    """`code` is what retriers and error workflows match; `message` is for people."""

    code: Annotated[str, Field(min_length=1, max_length=100)] = "failed"
    message: Annotated[str, Field(max_length=10_000)] = "The workflow failed here."


def _compute(parameters: Fail, _inputs: NodeInputs) -> Completed:
    raise NodeError(parameters.code, parameters.message)


NODE = NodeType("fail", "Fail", Fail, Pure(_compute), handles=lambda _parameters: ())
