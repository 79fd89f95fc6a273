"""The parts that the app has: appearance, toasts, typed-ahead keys, the daemon's switch, the table of screens.

No screen and no widget is imported here; the app is known as a `Console`.
"""
