"""Text on screens: escaping, figures, filters, copies and exports.

No widget and no instance.
"""
