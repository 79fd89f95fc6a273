"""The endpoints of the HTTP API, one file per group: each parses a request, calls a service and answers.

No SQL, no call to Klaviyo, nothing that two groups need: that is in `api.shared`.
"""
