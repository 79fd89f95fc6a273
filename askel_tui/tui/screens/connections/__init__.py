"""The screen Connections: accounts, keys and scopes.

A key never enters a text, a message or an error here; its fingerprint may be shown.
"""
