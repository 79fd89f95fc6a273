"""What becomes of operations after a request: values, and pure functions from answers and errors to these.

Nothing here reads or writes: no client, no journal, no clock.
"""
