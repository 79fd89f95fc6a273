"""The screen Dry run: what would be written, and going live.

Writes nothing but the activation that was confirmed.
"""
