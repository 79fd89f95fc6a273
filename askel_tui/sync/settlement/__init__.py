"""Settlement: decides the result of each operation after a request, by pure functions from answers and errors to
values.

Nothing here reads or writes: no client, no journal, no clock.
"""
