"""The screen Failed: records that did not arrive, and held steps.

No rule of its own: it asks the backend.
"""
