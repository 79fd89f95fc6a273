"""Code that several endpoints of the HTTP API share: bodies, batches, limits, errors, models, metrics.

No route and nothing that starts a server.
"""
