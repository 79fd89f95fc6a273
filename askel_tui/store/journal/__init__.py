"""The journal: its interface, its rows and errors, and the rules that hold whatever database is below.

No file, no thread and no engine: `store.sqlite` implements `Transaction`, and the journal on it.
"""
