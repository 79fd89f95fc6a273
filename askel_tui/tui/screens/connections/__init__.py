"""The screen Connections: accounts, keys and scopes.

A key is shown nowhere.
"""
