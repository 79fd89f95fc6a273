"""A stateful Klaviyo account over HTTP on this machine, for tests, the demo and rehearsals. Imports the contract only.

`askel_tui.sandbox.http.server.serve` runs it inside a program, `python -m askel_tui.sandbox` on its own.
"""
