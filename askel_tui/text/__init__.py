"""Text for people: escaping, cell widths, numbers, times and JSON for terminals. Pure.

Every other package may import this one; it imports nothing of the program.
"""
