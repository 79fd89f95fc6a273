"""Sending: operations become requests, and the result of each operation is committed.

Every write to Klaviyo leaves here; what goes next is decided in `sync.dispatching`, which nothing here imports.
"""
