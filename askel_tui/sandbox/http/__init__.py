"""The sandbox as an HTTP server: routing, exchange, the control surface and the request log.

No rule of the account stands here.
"""
