"""Reading spread over the workers of a Dask cluster (docs/cluster.md, docs/decisions/011-cluster.md)."""
