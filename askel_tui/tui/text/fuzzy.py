"""Fuzzy search: words as typed against names, the best first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from askel_tui.tui.text.filtering import Filter

T = TypeVar("T")

MAX_SEARCHED_CHARS = 512
"""Characters of a text that are searched: what is further right is on no screen."""

_SUBSTRING_SCORE, _SUBSEQUENCE_SCORE = 2_000, 1_000
_WORD_SEPARATORS = " _-./:"


def score(word: str, text: str) -> int | None:
    """How well a word fits, more is better; None where its letters are not all there, in their order.

    A part of the text fits better than scattered letters, the beginning of a word better than its middle.
    """
    word, text = word.casefold(), text[:MAX_SEARCHED_CHARS].casefold()
    at = text.find(word)
    if at >= 0:
        return _SUBSTRING_SCORE - (0 if at == 0 or text[at - 1] in _WORD_SEPARATORS else 500) - min(at, 400)
    first = last = -1
    for letter in word:
        last = text.find(letter, last + 1)
        if last < 0:
            return None
        first = last if first < 0 else first
    gaps = last - first + 1 - len(word)
    # Letters that are strewn over a long text are no match that anybody meant.
    return _SUBSEQUENCE_SCORE - gaps if gaps <= max(4, 3 * len(word)) else None


def rank_matches(wanted: Filter, entries: Iterable[T], text: Callable[[T], str]) -> list[T]:
    """The entries that fit all words and none of the unwanted, the best first; without words as they come."""
    if not wanted:
        return list(entries)
    found: list[tuple[int, int, T]] = []
    for place, entry in enumerate(entries):
        searched = text(entry)
        if any(word.casefold() in searched.casefold() for word in wanted.excluded):
            continue
        scores = [score(word, searched) for word in wanted.words]
        fitting = [each for each in scores if each is not None]
        if len(fitting) == len(scores):
            # Of several that differ in case alone, the one that was typed.
            same = sum(word in searched for word in wanted.words)
            found.append((-sum(fitting) - same, place, entry))
    found.sort(key=lambda each: each[:2])
    return [entry for _, _, entry in found]
