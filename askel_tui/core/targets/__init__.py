"""Targets: how names are pinned to ids, and how a look at the account shows drift.

Pure: the catalog and the profiles are handed in.
"""
