"""Where the front door of a home listens: left in a file while it does, for `askel doctor`. Light to import."""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from askel_tui.store.atomic_files import replace_file
from askel_tui.store.locks import owner
from askel_tui.store.paths import door_file

ANSWER_S = 3.0
"""How long a door may take to say whether it is ready, in seconds."""

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A door: its address, whether other machines can reach it, and its process."""

    url: str
    public: bool
    pid: int

    def leave(self, home: Path) -> None:
        """Writes it down; only the process that owns the home does. Raises `HomeUnusable`."""
        replace_file(door_file(home), json.dumps(asdict(self)).encode())

    def not_ready(self) -> list[str]:
        """Why the door takes nothing now, as it says itself; empty where it does. Raises `OSError`."""
        url = urlsplit(self.url)
        host = _EVERY_ADDRESS.get(url.hostname or "", url.hostname or "")
        asking = http.client.HTTPConnection(host, url.port, timeout=ANSWER_S)
        try:
            asking.request("GET", "/readyz")
            said = json.loads(asking.getresponse().read(65_536))
            return [str(each) for each in said["why"]]
        except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise OSError(f"something else answers there ({type(error).__name__})") from None
        finally:
            asking.close()


def closed(home: Path) -> None:
    """Takes the note away."""
    door_file(home).unlink(missing_ok=True)


def whereabouts(home: Path) -> Whereabouts | None:
    """The door that the home's daemon opened; None where it opened none. What a killed one left is passed over."""
    try:
        found = Whereabouts(**json.loads(door_file(home).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.pid == owner(home) else None
