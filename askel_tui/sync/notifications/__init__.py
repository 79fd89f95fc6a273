"""Notifications: which team is told of what, over which channel.

Decides no hold.
"""
