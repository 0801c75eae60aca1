"""What lasts: ledger, corrections, published tables, folder identity."""
