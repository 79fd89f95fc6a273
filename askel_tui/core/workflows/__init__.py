"""Workflows: their model, and the YAML files that they are read from.

Pure. Checks that need the account are in `core.targets` and `services.workflows`.
"""
