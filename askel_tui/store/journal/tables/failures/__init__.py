"""Failures, and what a person discarded: both are kept whole and can be taken up again.

Only what did not arrive is here; operations that wait or are held are the matter of `tables.operations` and
`tables.holds`.
"""
