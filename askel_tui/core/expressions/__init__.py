"""Expressions of workflow files: JMESPath with our functions, and what their values become.

Pure. Knows records as plain data, never workflows.
"""
