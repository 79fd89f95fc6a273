"""The sandbox's accounts: profiles, lists, events, jobs, limits, and how all of it is saved.

Knows no HTTP.
"""
