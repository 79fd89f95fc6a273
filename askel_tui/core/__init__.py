"""The model of records, workflows and operations, and how a record becomes writes.

Pure: no I/O, no clock, no HTTP, no screens.
"""
