"""Changing one setting in a YAML file that a person wrote: everything else in it stays as it is. Pure."""

from __future__ import annotations

import re


def with_setting(text: str, name: str, value: str) -> str:
    """Returns the text in which the top-level setting has the value (a plain word); its comment stays."""
    line = re.compile(
        rf"^{re.escape(name)}[ \t]*:[^#\r\n]*?(?P<rest>[ \t]+#[^\r\n]*)?(?P<end>\r?)$", re.MULTILINE
    )
    changed, count = line.subn(
        lambda found: f"{name}: {value}{found['rest'] or ''}{found['end']}", text, count=1
    )
    if count:
        return changed
    joint = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{joint}{name}: {value}\n"
