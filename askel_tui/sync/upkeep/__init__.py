"""Upkeep: periodic work, such as retention and testing whether an outage is over.

Nothing that a record waits for.
"""
