"""Planning: a record and a workflow become operations, and the dry run's comparison with live profiles.

Pure. No request is made here and nothing is stored.
"""
