"""Batches: many variants of one scenario, run on Dask, none lost, none wrong."""
