"""Another integration on the same account, which knows nothing of us: it takes a share of every window of each call.

Arguments: address, key, revision, share. Prints a line when it has begun; a line on its standard input ends
it, and it prints how many of its calls were answered with 429 and how many it made.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import endpoint, endpoints

METRIC, TIME = "Seen Elsewhere", "2026-11-23T09:00:00Z"
CALLS = ("create_or_update_profile", "create_event", "bulk_import_profiles", "bulk_create_events")


class Other:
    """Makes calls of one kind at a share of its steadiest window."""

    def __init__(self, url: str, key: str, revision: str) -> None:
        self.url, self.key, self.revision = url, key, revision
        self.refused = self.made = 0
        self.ended = threading.Event()

    def run(self, name: str, share: float) -> None:
        """Calls until `ended`."""
        at = endpoint(self.revision, name)
        pause = max(window.seconds / (window.limit * share) for window in at.windows)
        number = 0
        while not self.ended.wait(pause):
            number += 1
            self.call(at.method, at.url_path(), self.body(name, number))

    def body(self, name: str, number: int) -> dict[str, Any]:
        """A valid body of a person that nobody else writes."""
        words, who = dialect(self.revision), {"email": f"other{number}@elsewhere.example"}
        if name == "create_or_update_profile":
            return words.profile_import(who, {}, {}, [])
        if name == "bulk_import_profiles":
            return words.bulk_import([words.import_item(who)], None)
        unique = f"{name}-{number}"
        if name == "create_event":
            return words.event(who, METRIC, {}, TIME, unique)
        return words.bulk_events([words.event_group(who, [words.event_item(METRIC, {}, TIME, unique)])])

    def call(self, method: str, path: str, body: dict[str, Any]) -> None:
        """One call, counted."""
        headers = {
            "Authorization": f"Klaviyo-API-Key {self.key}",
            "revision": self.revision,
            "Content-Type": "application/vnd.api+json",
        }
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method=method)
        self.made += 1
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            self.refused += 1
            time.sleep(float(error.headers.get("Retry-After") or 1))


def main(url: str, key: str, revision: str, share: str) -> None:
    other = Other(url, key, revision)
    known = endpoints(revision)
    threads = [
        threading.Thread(target=other.run, args=(name, float(share))) for name in CALLS if name in known
    ]
    for thread in threads:
        thread.start()
    print("began", flush=True)
    sys.stdin.readline()
    other.ended.set()
    for thread in threads:
        thread.join()
    print(other.refused, other.made)


if __name__ == "__main__":
    main(*sys.argv[1:])
