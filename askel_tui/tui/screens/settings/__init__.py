"""The screen Settings: preferences, keys of the keyboard, notices.

No rule of its own: it asks the backend.
"""
