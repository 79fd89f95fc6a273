"""Numbers for Prometheus, in its text format (0.0.4): counters and histograms of this process."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

LabelValues = tuple[tuple[str, str], ...]

BUCKET_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of latency buckets, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """A number per set of labels that only grows."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.help_text = name, text
        self._values: dict[LabelValues, float] = {}

    def add(self, labels: LabelValues, by: float = 1) -> None:
        """Adds to the number of these labels."""
        self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> Iterable[str]:
        """The exposition."""
        yield from header_lines(self.name, self.help_text, "counter")
        for labels, value in self._values.items():
            yield sample_line(self.name, labels, value)


class Histogram:
    """How many observations fell under each bound, per set of labels."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.help_text = name, text
        self._counts: dict[LabelValues, list[int]] = {}
        self._sums: dict[LabelValues, float] = {}

    def observe(self, labels: LabelValues, seconds: float) -> None:
        """Takes note of one observation."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(BUCKET_BOUNDS_S) + 1)
        counts[bisect_left(BUCKET_BOUNDS_S, seconds)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + seconds

    def lines(self) -> Iterable[str]:
        """The exposition."""
        yield from header_lines(self.name, self.help_text, "histogram")
        for labels, counts in self._counts.items():
            total = 0
            for bound, count in zip((*map(str, BUCKET_BOUNDS_S), "+Inf"), counts, strict=True):
                total += count
                yield sample_line(f"{self.name}_bucket", (*labels, ("le", bound)), total)
            yield sample_line(f"{self.name}_sum", labels, self._sums[labels])
            yield sample_line(f"{self.name}_count", labels, total)


def header_lines(name: str, text: str, kind: str) -> Iterable[str]:
    """The two lines before the values."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def gauge_lines(name: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    """The exposition of values that are read when asked for."""
    yield from header_lines(name, text, "gauge")
    for labels, value in values:
        yield sample_line(name, tuple(labels.items()), value)


def sample_line(name: str, labels: LabelValues, value: float) -> str:
    """One sample."""
    told = ",".join(f'{key}="{_escape_label(text)}"' for key, text in labels)
    number = repr(value) if isinstance(value, float) and not value.is_integer() else str(int(value))
    return f"{name}{{{told}}} {number}" if told else f"{name} {number}"


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
