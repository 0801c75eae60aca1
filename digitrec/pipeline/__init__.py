"""From `inbox/` to published tables: scan, claim, read, record, publish, archive."""
