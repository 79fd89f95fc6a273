"""The actor of commands that a person gives on this machine, as the audit names it."""

from __future__ import annotations

import getpass
import os


def local_actor(source: str) -> str:
    """Returns the actor `SOURCE:USER`, where the source is `cli` or `console`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = f"uid-{os.getuid()}"
    return f"{source}:{name}"
