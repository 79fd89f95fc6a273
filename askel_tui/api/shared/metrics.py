"""Metrics for Prometheus in its text format 0.0.4: counters, gauges and histograms, with their labels."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
"""Names of labels with their values, in the order in which they are written."""

Sample = tuple[str, Labels, float]
"""One line of a metric: suffix of the name, labels, value."""

BUCKET_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of latency buckets, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Metric:
    """A number per set of labels: a counter or a gauge, as `kind` says."""

    name: str
    help_text: str
    kind: str = "counter"
    values: dict[Labels, float] = field(default_factory=dict)

    def add(self, amount: float = 1, /, **labels: str) -> None:
        """Adds `amount` to the number of a set of labels."""
        key = tuple(labels.items())
        self.values[key] = self.values.get(key, 0) + amount

    def samples(self) -> Iterator[Sample]:
        """Yields one sample per set of labels."""
        for labels, value in self.values.items():
            yield "", labels, value


@dataclass(slots=True)
class Histogram(Metric):
    """Durations in seconds per set of labels, counted by bucket; `values` are their sums."""

    kind: str = "histogram"
    _counts: dict[Labels, list[int]] = field(default_factory=dict)

    def observe(self, seconds: float, **labels: str) -> None:
        """Counts one duration."""
        self.add(seconds, **labels)
        counts = self._counts.setdefault(tuple(labels.items()), [0] * (len(BUCKET_BOUNDS_S) + 1))
        counts[bisect_left(BUCKET_BOUNDS_S, seconds)] += 1

    def samples(self) -> Iterator[Sample]:
        """Yields, per set of labels, a cumulative count per bucket, the sum, and the count of all."""
        for labels, counts in self._counts.items():
            total = 0
            for bound, count in zip((*map(str, BUCKET_BOUNDS_S), "+Inf"), counts, strict=True):
                total += count
                yield "_bucket", (*labels, ("le", bound)), total
            yield "_sum", labels, self.values[labels]
            yield "_count", labels, total


class ServerMetrics:
    """The counts and times of this process."""

    def __init__(self) -> None:
        self.records = Metric("askel_records_total", "Records that came in, by result.")
        self.requests = Metric("askel_http_requests_total", "Requests to the HTTP API.")
        self.request_seconds = Histogram("askel_http_request_seconds", "How long requests took to answer.")
        self.klaviyo_call_seconds = Histogram(
            "askel_klaviyo_call_seconds", "How long Klaviyo took to answer."
        )
        self.record_arrival_seconds = Histogram(
            "askel_record_arrival_seconds", "From taking a record in to Klaviyo's answer for a step of it."
        )
        self.received_at_ms: OrderedDict[tuple[str, str], int] = OrderedDict()
        """The times of receipt of the newest records, by connection and id."""
        self.last_audit_seq = 0
        """The `seq` of the last audit entry that was counted."""

    def counted(self) -> tuple[Metric, ...]:
        """Returns the metrics that the page shows of this process."""
        return (
            self.records,
            self.requests,
            self.request_seconds,
            self.klaviyo_call_seconds,
            self.record_arrival_seconds,
        )


def render(metrics: Iterable[Metric], is_visible: Callable[[Mapping[str, str]], bool]) -> str:
    """Renders the page of `metrics`; it holds only the samples whose labels are visible to the caller."""
    lines: list[str] = []
    for metric in metrics:
        lines += (f"# HELP {metric.name} {metric.help_text}", f"# TYPE {metric.name} {metric.kind}")
        for suffix, labels, value in metric.samples():
            if is_visible(dict(labels)):
                lines.append(_sample_line(metric.name + suffix, labels, value))
    return "\n".join(lines) + "\n"


def _sample_line(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escape_label(text)}"' for label, text in labels)
    number = repr(value) if isinstance(value, float) and not value.is_integer() else str(int(value))
    return f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}"


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
