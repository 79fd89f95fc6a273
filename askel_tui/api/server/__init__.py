"""The HTTP API as a program: the application, its middleware, the protocol and the address it listens on.

No endpoint and no business of one.
"""
