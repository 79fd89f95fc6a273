"""Holds: steps of a version that may not send, and the operations that wait behind these.

A held operation names the step whose hold keeps it: its own, or a held gate before it in the same record. That hold is
one of the operation's own version.
"""
