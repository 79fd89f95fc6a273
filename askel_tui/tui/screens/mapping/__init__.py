"""The screen Mapping: the editor of a workflow.

What is edited is a draft until it is saved.
"""
