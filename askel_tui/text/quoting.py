"""Quoting of text, for sentences about it."""


def quote(text: str, max_chars: int = 60) -> str:
    """Quotes a text, cut with an ellipsis, and escapes everything that could act on a terminal."""
    cut = text[:max_chars]
    ellipsis = "…" if len(text) > max_chars else ""
    return f"'{cut}{ellipsis}'" if cut.isprintable() else ascii(cut) + ellipsis
