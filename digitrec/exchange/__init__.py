"""Export the latest results as one table, and import corrections from tables. Published files are never changed."""
