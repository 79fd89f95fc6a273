"""The commands, one file a group: parse, call a service, print.

No decision that the console or the HTTP API would need too: that is a service.
"""
