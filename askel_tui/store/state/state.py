"""State: connections, versions of workflows, settings and catalogs.

What changes while the program runs is in the journal. Everything here is synchronous and takes milliseconds; on an
event loop, call it through `asyncio.to_thread`. Every method may raise `HomeUnusable`, `CorruptState` or `LockTimeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from tinydb import where
from tinydb.table import Document

from askel_tui.store import paths
from askel_tui.store.errors import (
    CorruptState,
    UnknownConnection,
    UnknownVersion,
    UnknownWorkflow,
)
from askel_tui.store.state.documents import ConnectionDoc, PinnedStep, WorkflowDoc, check_connection_name
from askel_tui.store.state.tinydb_storage import DocumentStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_M = TypeVar("_M", bound=BaseModel)


class State:
    """The documents of a home. Safe to use from several threads and processes at once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._documents = DocumentStore(paths.state_file(home))

    def close(self) -> None:
        """Closes open files; the state may be used again."""
        self._documents.storage.close()

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Connections.

    def connections(self) -> list[ConnectionDoc]:
        """Returns all connections by name."""
        docs = (self._read(ConnectionDoc, doc) for doc in self._documents.documents("connections"))
        return sorted(docs, key=lambda doc: doc.name)

    def connection(self, name: str) -> ConnectionDoc:
        """Returns one connection. Raises `UnknownConnection`."""
        found = self._documents.table("connections").get(where("name") == name)
        if not isinstance(found, Document):
            raise UnknownConnection(name, self._names("connections", "name"))
        return self._read(ConnectionDoc, found)

    def save_connection(self, connection: ConnectionDoc) -> None:
        """Stores a connection, in place of one of the same name. Raises `InvalidName`."""
        check_connection_name(connection.name)
        document = connection.model_dump(mode="json")
        self._documents.table("connections").upsert(document, where("name") == connection.name)

    def change_connection(self, name: str, **fields: Any) -> ConnectionDoc:
        """Sets fields of a connection and leaves other fields as they are by then. Raises `UnknownConnection`."""
        with self._documents.locked():
            present = self.connection(name).model_dump()
            changed = ConnectionDoc.model_validate(present | fields | {"name": name})
            self.save_connection(changed)
        return changed

    def remove_connection(self, name: str) -> None:
        """Deletes a connection and its catalog; its workflows stay. Raises `UnknownConnection`."""
        with self._documents.locked():
            self.connection(name)
            self._documents.table("connections").remove(where("name") == name)
        paths.catalog_file(self._home, name).unlink(missing_ok=True)

    # Workflows.

    def workflows(self) -> list[WorkflowDoc]:
        """Returns the newest version of every workflow, by name."""
        newest: dict[str, Document] = {}
        for doc in self._documents.documents("workflows"):
            best = newest.get(doc["workflow"])
            if best is None or doc["version"] > best["version"]:
                newest[doc["workflow"]] = doc
        return [self._read(WorkflowDoc, newest[name]) for name in sorted(newest)]

    def workflow(self, name: str, version: int | None = None) -> WorkflowDoc:
        """Returns one version of a workflow, by default the newest. Raises `UnknownWorkflow`, `UnknownVersion`."""
        versions = self.versions(name)
        if version is None:
            return versions[-1]
        for doc in versions:
            if doc.version == version:
                return doc
        raise UnknownVersion(name, version, versions[-1].version)

    def versions(self, name: str) -> list[WorkflowDoc]:
        """Returns all versions of a workflow, oldest first. Raises `UnknownWorkflow`."""
        found = self._documents.table("workflows").search(where("workflow") == name)
        if not found:
            raise UnknownWorkflow(name, self._names("workflows", "workflow"))
        return sorted((self._read(WorkflowDoc, doc) for doc in found), key=lambda doc: doc.version)

    def save_workflow_version(
        self,
        workflow: str,
        *,
        connection: str,
        source: str,
        targets: Mapping[str, PinnedStep],
        applied: int,
        actor: str,
        file: str | None = None,
        event_steps: Mapping[str, str] | None = None,
    ) -> int:
        """Stores the next version of a workflow and returns its number.

        A number is used once, even after the workflow was removed: ids of operations are made from it.
        """
        numbers = self._documents.table("version_numbers")
        with self._documents.locked():
            last = numbers.get(where("workflow") == workflow)
            version = last["last"] + 1 if isinstance(last, Document) else 1
            doc = WorkflowDoc(
                workflow=workflow,
                version=version,
                connection=connection,
                file=file,
                source=source,
                targets=dict(targets),
                event_steps=dict(event_steps or {}),
                applied=applied,
                actor=actor,
            )
            # The number goes first: a crash in between skips a number, and never uses one twice.
            numbers.upsert({"workflow": workflow, "last": version}, where("workflow") == workflow)
            self._documents.table("workflows").insert(doc.model_dump(mode="json"))
        return version

    def remove_workflow(self, name: str) -> None:
        """Deletes all versions of a workflow. Raises `UnknownWorkflow`."""
        if not self._documents.table("workflows").remove(where("workflow") == name):
            raise UnknownWorkflow(name, self._names("workflows", "workflow"))

    # Settings.

    def settings(self) -> dict[str, Any]:
        """Returns all settings that were stored, by name."""
        return {doc["name"]: doc["value"] for doc in self._documents.documents("settings")}

    def save_setting(self, name: str, value: Any) -> None:
        """Stores a setting, any JSON value; None deletes it."""
        table = self._documents.table("settings")
        if value is None:
            table.remove(where("name") == name)
        else:
            table.upsert({"name": name, "value": value}, where("name") == name)

    # Catalogs.

    def catalog(self, connection: str) -> dict[str, Any] | None:
        """Returns the stored catalog of a connection (`Catalog.as_dict`), a copy; None if there is none."""
        with DocumentStore(paths.catalog_file(self._home, connection)) as documents:
            found = documents.documents("catalog")
        return dict(found[0]) if found else None

    def save_catalog(self, connection: str, catalog: Mapping[str, Any]) -> None:
        """Stores the catalog of a connection in place of the one before."""
        file = paths.catalog_file(self._home, connection)
        paths.make_private(file.parent)
        with DocumentStore(file) as documents:
            documents.storage.write({"catalog": {"1": dict(catalog)}})

    def _names(self, table: str, field: str) -> set[str]:
        return {str(doc[field]) for doc in self._documents.documents(table)}

    def _read(self, model: type[_M], document: Document) -> _M:
        try:
            return model.model_validate(dict(document))
        except ValidationError as error:
            # pydantic's own text shows values, and a notify address may hold a token.
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise CorruptState(
                paths.state_file(self._home),
                f"{model.__name__} {document.doc_id}, {field}: {first['msg']}",
                "restore it from a backup, or use the version of Askel that wrote it",
            ) from None
