"""What the user chose: configuration, themes, and what the console remembers.

No widget.
"""
