"""Targets: names are pinned to ids, and drift of the account is found.

Pure: the catalog and the profiles are handed in.
"""
