"""The embedded engine: the journal in a SQLite file, with its connections, schema, backups, readers and writers.

No rule of the journal: these are in `store.journal`.
"""
