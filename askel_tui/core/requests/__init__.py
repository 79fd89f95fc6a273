"""Requests: which operations share one, what a request carries, and what a repeated one leaves out.

Pure. Sending and settling are in `sync.sending`.
"""
