"""The screen Overview: connections, workflows, holds, rate limits and notices.

It decides nothing: pausing, releasing and discarding are services.
"""
