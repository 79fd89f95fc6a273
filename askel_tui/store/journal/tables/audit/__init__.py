"""The audit: its chain of hashes, its queries, and the reads of the live tail.

No other table is written here.
"""
