"""Drift: whether the account still is what the workflows were built on.

Places holds through the journal; sends nothing.
"""
