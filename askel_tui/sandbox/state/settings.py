"""The sandbox's switches: behaviour that Klaviyo's documents leave open, and what tests and benches need otherwise."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import Any, Final

_CHOICES: Final = {
    "retired": ("fall_forward", "serve", "gone"),
    "bulk_repeat": ("refuse", "discard"),
    "bulk_repeat_scope": ("call", "stored"),
    "unknown_member": ("refuse", "skip"),
    "merged_profile": ("gone", "survivor"),
}


class SettingError(ValueError):
    """A switch that does not exist or a value that it does not take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The switches, by the names that `PATCH /sandbox/settings` takes. Times are in seconds."""

    limits: bool = True
    """The switch that keeps Klaviyo's windows. Off: nothing is ever throttled; the headers stay."""
    retired: str = "fall_forward"
    """The answer to a call that names a retired revision: `fall_forward` (as Klaviyo), `serve`, `gone` (410)."""
    today: str = ""
    """The day from which it follows which revisions are retired, as "2027-01-16"; empty: the clock's."""
    lose_events_at: str = ""
    """The revision at which events are accepted and lost, to see whether that is noticed; empty: none."""
    bulk_repeat: str = "refuse"
    """The treatment of a repeated `unique_id` in a bulk event call: `refuse` the whole call (OpenAPI) or `discard`
    the repeat."""
    bulk_repeat_scope: str = "call"
    """The events among which a repeat is found: within the `call`, or also among `stored` ones."""
    unknown_member: str = "refuse"
    """The treatment of an unknown profile id in a list add: `refuse` the whole call (404) or `skip` it."""
    merged_profile: str = "gone"
    """The answer for a merged profile's id: `gone` (404) or the `survivor`."""
    drop_example_domains: bool = False
    """The switch that drops events to example.com and the like silently, as Klaviyo does."""
    dropped_phones: list[str] = field(default_factory=list)
    """The beginnings of phone numbers that are invalid: beside another identifier they are left out of a write, and
    the answer's header X-Klaviyo-Partial-Failure names them."""
    job_time: float = 1.0
    """The time that a bulk import job takes: queued for the first third, then processing, then complete."""
    import_fail: dict[str, str] = field(default_factory=dict)
    """The rows that fail in a bulk import job: identifier → the error's detail."""
    consent_time: float = 0.0
    """The time until a subscribe or unsubscribe job shows."""
    segment_time: float = 0.0
    """The time until segments show what was written to a profile."""
    sms_regions: list[str] = field(default_factory=list)
    """The calling codes for which SMS consent is allowed, as "+44"; empty: all."""
    log: bool = True
    """The switch that keeps the request log. Off for benches."""
    log_limit: int = 20_000
    """The number of requests that the log keeps."""

    def as_dict(self) -> dict[str, Any]:
        """Returns all switches as JSON values."""
        return asdict(self)

    def changed(self, values: dict[str, Any]) -> Settings:
        """Returns the switches with some values replaced. Raises `SettingError` for an unknown name or a wrong
        value."""
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise SettingError(f"There is no setting {name!r}. There are: {', '.join(known)}.")
            if name in _CHOICES and value not in _CHOICES[name]:
                raise SettingError(f"{name} is one of {', '.join(_CHOICES[name])}, not {value!r}.")
            if name == "today" and value and not _is_day(value):
                raise SettingError(f"today is a day, such as 2027-01-16, not {value!r}.")
            wanted = type(known[name])
            number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
            if type(value) is not wanted and not number:
                raise SettingError(f"{name} takes a {wanted.__name__}, not {value!r}.")
        return replace(self, **values)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
