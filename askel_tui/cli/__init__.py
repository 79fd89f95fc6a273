"""The command line: one file per command group. Each parses, calls a service and prints."""
