"""Direct writes: what a person or a program asks for without a workflow, checked as a request and stored as a record.

No HTTP and no terminal here.
"""
