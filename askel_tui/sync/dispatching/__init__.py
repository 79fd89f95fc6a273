"""Dispatching: decides which of an account's operations are sent when, and keeps requests in flight.

How a request is sent and settled is the matter of `sync.sending`; nothing there knows of this room.
"""
