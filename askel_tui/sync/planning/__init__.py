"""Planning of records that wait, here or in a process that helps with a backlog.

What a plan is stands in `core.planning`.
"""
