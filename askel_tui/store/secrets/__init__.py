"""Storage of API keys: in the operating system's keyring or in our encrypted vault.

No key in a repr, a log or an exception.
"""
