"""Sending: which operations go next, in which request, and what their answers mean.

Every write to Klaviyo leaves here; none is planned here.
"""
