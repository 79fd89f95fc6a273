"""Checks of requests to the sandbox: queries, filters and bodies.

Reads no state and changes none.
"""
