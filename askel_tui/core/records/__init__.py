"""Records: their definition, and the reading of files of them.

Pure: lines and bytes come in, records and refusals go out.
"""
