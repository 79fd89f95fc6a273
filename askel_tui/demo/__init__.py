"""The demonstration: one workflow from the connection to the count, against a sandbox on this machine."""
