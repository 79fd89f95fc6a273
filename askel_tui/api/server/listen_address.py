"""The address that the HTTP API of a home listens on, in a file while it does. Light to import."""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from askel_tui.store.atomic_files import replace_file
from askel_tui.store.locks import owner_pid
from askel_tui.store.paths import listen_address_file

READY_TIMEOUT_S = 3.0
"""Time that the server may take to say whether it is ready, in seconds."""

_LOOPBACK_OF_WILDCARD = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A running HTTP API: its URL, whether other machines can reach it, and its process."""

    url: str
    public: bool
    pid: int

    def save(self, home: Path) -> None:
        """Writes the file; only the process that owns the home does. Raises `HomeUnusable`."""
        replace_file(listen_address_file(home), json.dumps(asdict(self)).encode())

    def not_ready_reasons(self) -> list[str]:
        """Reads the reasons that `/readyz` gives for refusing records now; empty where it accepts them.

        Raises `OSError`.
        """
        url = urlsplit(self.url)
        host = _LOOPBACK_OF_WILDCARD.get(url.hostname or "", url.hostname or "")
        connection = http.client.HTTPConnection(host, url.port, timeout=READY_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            answer = json.loads(connection.getresponse().read(65_536))
            return [str(each) for each in answer["why"]]
        except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise OSError(f"something else answers there ({type(error).__name__})") from None
        finally:
            connection.close()


def remove_listen_address(home: Path) -> None:
    """Removes the file."""
    listen_address_file(home).unlink(missing_ok=True)


def read_listen_address(home: Path) -> ListenAddress | None:
    """Reads the address that the home's daemon listens on; None where it listens on none.

    The file of a killed daemon is ignored.
    """
    try:
        found = ListenAddress(**json.loads(listen_address_file(home).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.pid == owner_pid(home) else None
