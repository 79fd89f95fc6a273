"""The audit: its chain of hashes, its queries, and what the live tail reads of it.

No other table is written here.
"""
