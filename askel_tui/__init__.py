"""Askel TUI: a product's records become writes in a brand's Klaviyo account."""

__version__ = "0.1.0"
