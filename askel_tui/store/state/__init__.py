"""State documents: connections, workflows, settings and tokens, in TinyDB files.

Nothing that grows with the number of records.
"""
