"""Numbers and pages that say how good the answers are."""
