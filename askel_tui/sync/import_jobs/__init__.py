"""Bulk import jobs: following them to their end and reading their row errors.

Starts no job: that is `sync.sending`.
"""
