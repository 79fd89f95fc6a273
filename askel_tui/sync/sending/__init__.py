"""Sending: one request from its place in the budget to its settlement in the journal.

Every write to Klaviyo leaves here; what goes next is decided in `sync.dispatching`.
"""
