"""The configuration of a home, as a folder of files would say it."""

from __future__ import annotations

import asyncio
from dataclasses import fields

from askel_tui.core.configuration.model import Configuration, ConnectionConfig, WorkflowConfig
from askel_tui.store.journal.rows import WorkflowState
from askel_tui.store.state.documents import ConnectionDoc, WorkflowDoc
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.addresses import NOTIFY_SETTING


async def read_home(instance: Instance) -> Configuration:
    """Reads the configuration of a home. What a direct command wrote belongs to no workflow of a file."""
    state = instance.state
    settings = await asyncio.to_thread(state.settings)
    connections = await asyncio.to_thread(state.connections)
    newest = await asyncio.to_thread(state.workflows)
    states = {each.workflow: each for each in await instance.journal.workflow_states()}
    return Configuration(
        connections={doc.name: _connection(doc) for doc in connections},
        workflows={doc.workflow: _workflow(instance, doc, states.get(doc.workflow)) for doc in newest},
        settings=settings,
    )


def addresses_of(home: Configuration) -> list[str]:
    """Lists all addresses for notices of a configuration."""
    found = list(home.settings.get(NOTIFY_SETTING) or ())
    for connection in home.connections.values():
        found += connection.notify
    return found


def _connection(doc: ConnectionDoc) -> ConnectionConfig:
    return ConnectionConfig(**{each.name: getattr(doc, each.name) for each in fields(ConnectionConfig)})


def _workflow(instance: Instance, newest: WorkflowDoc, state: WorkflowState | None) -> WorkflowConfig:
    name, connection = newest.workflow, newest.connection
    if state is None or state.status == "draft":
        return WorkflowConfig(name, connection, "draft", newest.source)
    runs = instance.workflow_document(name, state.version)
    draft = newest.source if newest.version > runs.version and newest.source != runs.source else None
    return WorkflowConfig(name, connection, state.status, runs.source, draft)
