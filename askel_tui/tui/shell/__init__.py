"""The console's frame: base screen, registry, appearance, typed-ahead keys, progress.

Knows no screen by name but through the registry.
"""
