"""Targets: the names that a workflow's steps use are pinned to ids of the account.

Pure: the catalog is handed in. Whether a pinned target changed since is `core.drift`.
"""
