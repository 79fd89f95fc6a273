"""What several endpoints of the HTTP API need: bodies, batches, limits, errors, models, metrics.

No route and nothing that starts a server.
"""
