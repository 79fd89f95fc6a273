"""The demonstration: the whole story of one workflow, against a sandbox on this machine."""
