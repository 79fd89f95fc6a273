"""Reads of the account: catalog, profiles, properties, events, consent, key and scopes.

Nothing here writes to Klaviyo.
"""
