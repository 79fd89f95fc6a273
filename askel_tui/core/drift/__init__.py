"""Drift: differences between the account and the one that an applied workflow was built on.

Pure: what was read of the account is handed in. Reading it and holding steps is `sync.account_checks`.
"""
