"""The screens, one a file, each with its style sheet beside it. `registry.py` is the table of them."""
