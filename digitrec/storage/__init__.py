"""Durable state: ledger, corrections, published tables, folder ids, object stores."""
