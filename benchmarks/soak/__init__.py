"""An hour of `digitrec watch` under everything that folders, people and machines do to it (docs/dev/soak.md)."""
