"""The HTTP front door for the product: records in, answers out, operating. FastAPI on uvicorn, inside the daemon."""
