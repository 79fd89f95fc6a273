"""The two priorities of calls to Klaviyo."""

from typing import Literal

Priority = Literal["live", "bulk"]
"""The priority of a call. Live calls go before bulk ones, and bulk ones are spread over the minute."""
