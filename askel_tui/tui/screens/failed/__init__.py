"""The screen Failed: records and writes that did not arrive.

It decides nothing: retrying and discarding are services.
"""
