"""The revisions that connections may pin, with what becomes of each."""

from __future__ import annotations

from typing import Any

from askel_tui.contract.revisions import NEWEST, REVISIONS, describe, retired_on, status
from askel_tui.sync.instance import Instance
from askel_tui.text.times import utc_day


def list_revisions(instance: Instance) -> list[dict[str, Any]]:
    """Lists the revisions, oldest first, each with its status today and the connections that pin it."""
    documents, today = instance.state.connections(), utc_day(instance.clock())
    return [
        {
            "revision": each,
            "newest": each == NEWEST,
            "status": status(each, today).value,
            "note": describe(each, today),
            "retires": retired_on(each).isoformat(),
            "connections": [doc.name for doc in documents if doc.revision == each],
        }
        for each in REVISIONS
    ]
