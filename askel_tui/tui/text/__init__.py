"""Helpers for the text of screens: filters, fuzzy search, one-line charts, exports, curl commands.

General helpers are in `askel_tui.text`. No widget, no screen and no instance.
"""
