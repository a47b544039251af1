"""A file that imports what nobody has installed."""

import package_that_nobody_has  # noqa: F401
