"""Commands about configuration as code: a folder of files, and versions of workflows that are taken back.

What they do is in `services.configuration`.
"""
