"""The screen Overview: connections, workflows, backlog, holds and budgets.

Reads only.
"""
