"""The rules and the SQL of the journal, a file per table or concern, as functions of a transaction.

No thread, no process, no commit.
"""
