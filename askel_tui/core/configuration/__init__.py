"""Configuration as files: what a folder and a home hold, how they differ, and how a file is changed with its comments.

No file is read here, no home opened, nothing applied.
"""
