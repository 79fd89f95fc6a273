"""Rate limits kept on our side, so that Klaviyo never answers 429: windows, queues and permits.

No request is made here; what remembers permits is handed in.
"""
