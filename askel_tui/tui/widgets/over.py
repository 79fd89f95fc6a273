"""What lies over a screen until it is answered: a question, a form, help."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Over(ModalScreen[T]):
    """A modal screen that is answered once: keys typed faster than it goes away are not for what lies below it."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Goes away with a result; where it is no longer in front, nothing."""
        if not self.is_active:
            return AwaitComplete()
        return super().dismiss(result)
