"""Completion for a field of several list names with commas between them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.suggester import Suggester

from askel_tui.text.sanitizing import sanitize


class ListNameSuggester(Suggester):
    """Completes the last of the names from `names`."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.names: Sequence[str] = ()

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line with its last name completed; None where no name begins so."""
        before, comma, last = value.rpartition(",")
        typed = last.lstrip()
        for name in self.names if typed else ():
            if name.casefold().startswith(typed.casefold()):
                blank = last[: len(last) - len(typed)]
                return before + comma + blank + typed + sanitize(name)[len(typed) :]
        return None
