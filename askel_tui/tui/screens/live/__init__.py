"""The screen Live: the audit tail.

Rows come through the backend; nothing is written.
"""
