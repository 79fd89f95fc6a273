"""Askel TUI: a product's records become writes in a brand's Klaviyo account.

`contract` is Klaviyo's API as data; `core` plans and packs; both are pure. `klaviyo` is the account over HTTP,
`store` what is remembered, `sync` the moving parts. `cli` and `tui` are for people, `api` is for the product,
`sandbox` is an account on this machine, and `demo` the story told with it. The command is `askel`.
"""

__version__ = "0.3.0"
