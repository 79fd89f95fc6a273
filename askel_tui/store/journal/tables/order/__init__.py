"""What older records wrote, or are about to write, over newer ones: of lines that were found to be one late, or after a
pause. What comes back from holds and failures is `tables.superseded`.
"""
