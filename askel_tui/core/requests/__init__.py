"""Requests: which operations share one, what it carries, and what a repeated one leaves out.

Pure. Sending and settling are in `sync.sending`.
"""
