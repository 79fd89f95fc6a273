"""The screen Browse: the account's catalog.

Reads only.
"""
