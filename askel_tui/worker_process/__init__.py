"""A worker process: a child that answers pickled questions in order over a socket.

Knows nothing of the rest of the package.
"""
