"""The command line: the group `askel`, its output and errors, and the commands, which parse, call a service and print.

Nothing here is imported by another package; no Textual, and nothing heavy before a command needs it.
"""
