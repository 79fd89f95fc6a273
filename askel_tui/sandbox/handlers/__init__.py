"""Answers of the sandbox's endpoints, one file a group of resources.

State is changed through `sandbox.state` only.
"""
