"""Writers of the SQLite journal: group commit in a thread, or in a process while there is a backlog.

Knows functions of a connection, not what they do.
"""
