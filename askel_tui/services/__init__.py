"""Use cases that commands, screens and the HTTP API call: one function per task of a user.

No screen, no terminal, no HTTP here; the engine (`sync`) never imports a service.
"""
