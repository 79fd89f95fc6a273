"""A Klaviyo account through HTTP: the client, its rate limits, errors, and reads.

Knows neither the store nor the engine; httpx stays inside `klaviyo.http`.
"""

import sys

# Where rich is installed, httpx loads it with a command line of its own, which nothing here uses.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
