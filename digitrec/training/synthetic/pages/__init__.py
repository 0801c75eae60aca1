"""Draw synthetic pages: numbers on paper as people write, scan and photograph them, with what is written on each."""
