"""Writers of the SQLite journal: group commit in a thread, or in a process while there is a backlog.

They know functions of a connection, and not what these do.
"""
