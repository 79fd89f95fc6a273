"""Confirmation: writes whose outcome Klaviyo did not tell are read back in the background.

Nothing here sends or repeats a write.
"""
