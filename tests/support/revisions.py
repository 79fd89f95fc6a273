"""The revisions that costly tests run at: what differs between all of them is tested where it is cheap."""

from askel_tui.contract.revisions import NEWEST, REVISIONS

OLDEST_AND_NEWEST = (REVISIONS[0], NEWEST)
