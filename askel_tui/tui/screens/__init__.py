"""The screens: a folder each, with its style sheet; `base_screen.py` holds their common base and the rules for them.

A screen imports no other screen, and meets an instance through the backend alone.
"""
