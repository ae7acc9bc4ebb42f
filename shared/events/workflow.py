"""Facts about workflows (stream type `workflow`)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class WorkflowCreated:
    """A workflow was created, its draft as version 1."""

    name: str
    description: str | None
    nodes: list[JsonObject]
    edges: list[JsonObject]
    tags: list[str]
    settings: JsonObject


@dataclass(frozen=True, slots=True)
class WorkflowUpdated:
    """The draft was replaced; its version went up by one."""

    name: str
    description: str | None
    nodes: list[JsonObject]
    edges: list[JsonObject]
    tags: list[str]
    settings: JsonObject


@dataclass(frozen=True, slots=True)
class WorkflowPublished:
    """The draft's version became the one that new runs are pinned to."""

    version: int


@dataclass(frozen=True, slots=True)
class WorkflowUnpublished:
    """No new run starts; those in progress finish."""


@dataclass(frozen=True, slots=True)
class WorkflowArchived:
    """The workflow is no longer listed; its history stays."""


WorkflowFact = WorkflowCreated | WorkflowUpdated | WorkflowPublished | WorkflowUnpublished | WorkflowArchived
