"""API keys: the operating system's keyring or our encrypted vault.

No key in a repr, a log or an exception.
"""
