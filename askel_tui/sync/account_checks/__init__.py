"""Account checks: read what active workflows depend on, and hold the steps for which `core.drift` finds drift.

Places holds through the journal; sends nothing.
"""
