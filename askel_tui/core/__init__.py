"""What things are, and how a record becomes writes.

Pure: no I/O, no clock, no HTTP, no screens.
"""
