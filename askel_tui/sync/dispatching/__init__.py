"""Dispatching: the queue of planned operations, and which of them go next, in which request.

Nothing is sent here: that is `sync.sending`.
"""
