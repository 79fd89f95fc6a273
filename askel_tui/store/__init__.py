"""Storage of everything that is remembered: state (documents), secrets (keyring or vault), and the journal.

Knows no HTTP and no Klaviyo; what an operation means is in `core`.
"""
