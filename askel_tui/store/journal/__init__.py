"""The journal's interface: its methods, its rows, its errors.

No SQL and no file: an implementation stands beside this, as `store.sqlite`.
"""
