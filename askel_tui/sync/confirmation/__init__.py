"""Confirmations: reading back what Klaviyo accepted without a receipt, and consent whose fate is unknown.

Sends no write.
"""
