"""A file that fails while it is read."""

RATIO = 1 / 0
