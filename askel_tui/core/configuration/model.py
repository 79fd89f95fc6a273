"""What a configuration consists of, the same for a folder of files and for a home. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

WorkflowStatus = Literal["draft", "active", "paused"]
"""The state of a workflow in a configuration."""

WORKFLOW_STATES: tuple[WorkflowStatus, ...] = ("draft", "active", "paused")


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """A connection without its key."""

    name: str
    account: str | None = None
    """The id of the Klaviyo account; None where the key may not read it, or the file does not say."""
    revision: str | None = None
    """The pinned revision; None in a file: the newest one."""
    accept_retired: bool = False
    """True if Klaviyo may serve the revision by another one's rules once it is retired."""
    customer: str | None = None
    only_lists: tuple[str, ...] = ()
    notify: tuple[str, ...] = field(default=(), repr=False)
    """The addresses for notices as they are, with their secrets."""
    on_conflict: str = "fail"
    pause_after: int | None = None
    """Seconds; None: as the setting says."""


@dataclass(frozen=True, slots=True)
class WorkflowConfig:
    """A workflow: the text that runs, or would, and the text of a newer draft beside it."""

    name: str
    connection: str
    status: WorkflowStatus
    source: str
    draft: str | None = None
    """A newer version that was not activated."""
    file: str = ""
    """The path of the file in the folder."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it, by name."""

    connections: Mapping[str, ConnectionConfig] = field(default_factory=dict)
    workflows: Mapping[str, WorkflowConfig] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings that are set; values as the state stores them."""
