"""The simulator: the real engine against an account in the same process, by a clock that jumps; a seed decides all.

`reference.py` says in plain words what ought to have happened. Nothing here waits, opens a socket or starts a thread.
"""
