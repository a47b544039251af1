"""Numerics on arrays: no HELICS, no files, no clocks."""
