"""Drift: how the account differs from what an applied workflow was built on.

Pure: what was read of the account is handed in. Reading it and holding steps is `sync.account_checks`.
"""
