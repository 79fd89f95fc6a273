"""A Klaviyo account through HTTP: client, budgets, catalog, checks, errors."""
