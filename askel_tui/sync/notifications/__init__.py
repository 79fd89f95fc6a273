"""Notifications: delivers the journal's notices to the addresses of the team.

Decides no hold.
"""
