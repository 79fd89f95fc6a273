"""Checks of requests to the sandbox: paths, queries, filters and bodies.

Reads no state and changes none.
"""
