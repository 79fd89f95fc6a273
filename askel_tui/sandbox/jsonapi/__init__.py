"""JSON:API as Klaviyo speaks it: error documents, ids and times.

Knows no state.
"""
