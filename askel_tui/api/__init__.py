"""The HTTP API for the product: records in, answers out, operating. FastAPI on uvicorn, inside the daemon."""
