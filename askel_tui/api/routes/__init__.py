"""The HTTP API's endpoints, one file a group: parse, call a service, answer.

No SQL, no call to Klaviyo, nothing that two groups need: that is in `api.shared`.
"""
