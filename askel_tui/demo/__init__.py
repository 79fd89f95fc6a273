"""The demonstration: one workflow from the connection to the count, against a sandbox on this machine.

Calls services as a user would; no rule of the program stands here.
"""
