"""Import jobs: polled to their end, or waited for where the answer was lost; slow ones are reported.

What the end of a job means for its operations is decided in `sync.settlement`.
"""
