"""Rate limits kept on our side, so that Klaviyo never answers 429: windows, queues and permits.

The figures of the windows come from `contract.endpoints`. No request is made here; the ledger of permits is handed in.
"""
