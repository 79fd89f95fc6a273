"""The HTTP API for the product: records, questions, direct writes, operating. FastAPI on uvicorn, inside the daemon.

Only `daemon --listen` loads it; no rule of the business, and no call to Klaviyo that is not a service.
"""
