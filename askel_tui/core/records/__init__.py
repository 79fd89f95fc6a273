"""Records: what one is, and how files of them are read.

Pure: lines and bytes come in, records and refusals go out.
"""
