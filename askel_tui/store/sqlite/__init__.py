"""The journal in a SQLite file: connection, schema, readers and the object that ties them together.

What a table's rows mean is in `tables`, who commits is in `writing`.
"""
