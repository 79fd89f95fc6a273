"""A Klaviyo account through HTTP: client, budgets, catalog, checks, errors."""

import sys

# Where rich is installed, httpx loads it with a command line of its own, which nothing here uses.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
