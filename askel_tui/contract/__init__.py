"""Klaviyo's API as data, per revision: endpoints and their limits, caps of fields, request bodies.

Pure, and knows nothing of Askel.
"""
