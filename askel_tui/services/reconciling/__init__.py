"""Reconciling: what a workflow has sent, and what Klaviyo holds of it now.

Reads the audit and the account, and writes nothing.
"""
