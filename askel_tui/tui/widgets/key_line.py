"""The line of keys at the foot of a screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey


class KeyLine(Footer):
    """Textual's footer, whose key for help stays in sight where there is no room for all."""

    def compose(self) -> ComposeResult:
        """The keys; help can be told from the others."""
        for each in super().compose():
            if isinstance(each, FooterKey) and each.action in ("help", "app.help"):
                each.add_class("-help")
            yield each
