"""Upkeep: what is done from time to time, such as retention and asking whether an outage is over.

Nothing that a record waits for.
"""
