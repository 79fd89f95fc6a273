"""The user's own settings: `config.yaml`, `keymap.yaml` and `themes/`, in the user's config directory.

With `ASKEL_HOME` set they are looked for there, so that a home is whole by itself. Reading never raises: what is
wrong comes back as problems that name file, line and a suggestion, and the rest holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askel_tui.core.problems import Problem, did_you_mean

CLIPBOARD_MODES = ("auto", "native", "osc52")

_SETTING_TYPES: Mapping[str, type] = {"theme": str, "clipboard": str, "keymap": dict}


@dataclass(frozen=True, slots=True)
class Config:
    """The user's settings. `keymap` is {binding id: keys}."""

    theme: str | None = None
    clipboard: str = "auto"
    keymap: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def config_directory() -> Path:
    """Returns the directory of the user's own files: `ASKEL_HOME`, else the user's config directory."""
    chosen = os.environ.get("ASKEL_HOME", "")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    import platformdirs

    return Path(platformdirs.user_config_dir("askel", appauthor=False))


def load_config(where: Path | None = None) -> Config:
    """Loads the settings in a directory; a missing file counts as an empty one."""
    where = where or config_directory()
    problems: list[Problem] = []
    values, lines = read_yaml(where / "config.yaml", problems)
    valid = _valid_settings(values, lines, where / "config.yaml", problems)
    keymap = _keymap(valid.get("keymap", {}), lines, where / "config.yaml", problems)
    more, more_lines = read_yaml(where / "keymap.yaml", problems)
    keymap |= _keymap(more, more_lines, where / "keymap.yaml", problems)
    clipboard = valid.get("clipboard", "auto")
    if clipboard not in CLIPBOARD_MODES:
        message = f"clipboard is one of {', '.join(CLIPBOARD_MODES)}"
        guess = did_you_mean(str(clipboard), CLIPBOARD_MODES)
        problems.append(
            Problem(message, "clipboard", None, str(where / "config.yaml"), lines.get("clipboard"), guess)
        )
        clipboard = "auto"
    return Config(valid.get("theme"), clipboard, keymap, tuple(problems))


def read_yaml(file: Path, problems: list[Problem]) -> tuple[dict[str, Any], dict[str, int]]:
    """Reads the mapping in a file and the line of each of its keys; errors go to `problems`."""
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        return {}, {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(f"can't be read: {error}", file=str(file)))
        return {}, {}
    import yaml

    try:
        # libyaml, where it was built in, reads many times faster.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        node = yaml.compose(text, Loader=loader)
        values = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        message = f"is no YAML: {getattr(error, 'problem', None) or error}"
        problems.append(Problem(message, file=str(file), line=line))
        return {}, {}
    if values is None:
        return {}, {}
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        problems.append(Problem("holds no settings: write `name: value` lines", file=str(file), line=1))
        return {}, {}
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return {str(key): value for key, value in values.items()}, lines


def _valid_settings(
    values: Mapping[str, Any], lines: Mapping[str, int], file: Path, problems: list[Problem]
) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        wanted = _SETTING_TYPES.get(name)
        if wanted is None:
            guess = did_you_mean(name, _SETTING_TYPES)
            problems.append(Problem("is no setting", name, None, str(file), lines.get(name), guess))
        elif not isinstance(value, wanted):
            word = {"str": "a word", "dict": "a mapping"}[wanted.__name__]
            problems.append(Problem(f"must be {word}", name, None, str(file), lines.get(name)))
        else:
            kept[name] = value
    return kept


def _keymap(
    values: Mapping[Any, Any], lines: Mapping[str, int], file: Path, problems: list[Problem]
) -> dict[str, str]:
    kept = {}
    for name, keys in values.items():
        # YAML reads a bare 1 as a number, and a key may be one.
        if isinstance(keys, str | int) and not isinstance(keys, bool) and str(keys):
            kept[str(name)] = str(keys)
        else:
            message = "must name keys, such as ctrl+s or 'g,home'"
            problems.append(Problem(message, str(name), None, str(file), lines.get(str(name))))
    return kept
