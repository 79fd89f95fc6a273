"""The engine: it plans, dispatches and carries out commands; the daemon runs it.

No screen and no terminal.
"""
