"""A file without a federate."""

POWER = 5.0
