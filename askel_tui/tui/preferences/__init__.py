"""The choices of the user: configuration, themes, and the state that the console remembers.

No widget.
"""
