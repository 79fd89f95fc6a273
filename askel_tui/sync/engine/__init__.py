"""The engine: it plans, dispatches and executes commands; the daemon runs it.

No screen and no terminal.
"""
