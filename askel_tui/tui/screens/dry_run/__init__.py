"""The screen Dry run: shows what records would write, and goes live.

Writes nothing but the activation that was confirmed.
"""
