"""History: what records of the past would start, the question about it, and backfills. Nothing here sends."""
