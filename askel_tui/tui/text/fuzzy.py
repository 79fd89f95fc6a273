"""Fuzzy search: words as typed against names, the best match first. Pure.

`textual.fuzzy` is not used: it tries all ways to place the letters, which takes seconds for one name with repeated
letters, and is 5 to 20 times slower on ordinary names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from askel_tui.tui.text.filtering import Filter

T = TypeVar("T")

MAX_SEARCHED_CHARS = 512
"""The number of characters of a text that are searched; no screen shows more."""

_SUBSTRING_SCORE, _SUBSEQUENCE_SCORE = 2_000, 1_000
_WORD_SEPARATORS = " _-./:"


def score(word: str, text: str) -> int | None:
    """Scores how well a word matches, more is better; None where its letters are not all there, in their order.

    A substring matches better than scattered letters, the beginning of a word better than its middle.
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
    # Letters that are scattered over a long text are not counted as a match.
    return _SUBSEQUENCE_SCORE - gaps if gaps <= max(4, 3 * len(word)) else None


def rank_matches(wanted: Filter, entries: Iterable[T], text: Callable[[T], str]) -> list[T]:
    """Ranks the entries that match all words and no excluded one, the best first; without words, in their order."""
    if not wanted:
        return list(entries)
    found: list[tuple[int, int, T]] = []
    for number, entry in enumerate(entries):
        searched = text(entry)
        if any(word.casefold() in searched.casefold() for word in wanted.excluded):
            continue
        scores = [score(word, searched) for word in wanted.words]
        matched = [each for each in scores if each is not None]
        if len(matched) == len(scores):
            # Of several entries that differ in case alone, the one that was typed comes first.
            same_case = sum(word in searched for word in wanted.words)
            found.append((-sum(matched) - same_case, number, entry))
    found.sort(key=lambda each: each[:2])
    return [entry for _, _, entry in found]
