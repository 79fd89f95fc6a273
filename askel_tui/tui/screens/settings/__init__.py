"""The screen Settings: themes, keys of the keyboard, clipboard, and the instance's settings.

The user's own files are read by `preferences`; the instance's settings are a service.
"""
