"""Planning of records that wait, in this process or in a worker that helps with a backlog.

What a plan is stands in `core.planning`.
"""
