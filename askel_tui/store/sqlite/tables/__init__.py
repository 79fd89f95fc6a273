"""The SQL of the journal, one file a table or question, as functions of a connection.

No thread, no process, no commit.
"""
