"""The screen Browse: the account's catalog.

It reads the account and writes nothing to it.
"""
