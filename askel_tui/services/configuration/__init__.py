"""Configuration as code: a folder of files is written from a home, compared with it, and applied to it.

Nothing is changed here but through the services that commands call.
"""
