"""Names of the array types that the fleet is made of."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.intp]
Codes: TypeAlias = NDArray[np.int8]

#: [s] by which a sum of steps may miss a time through rounding and still count as having reached it.
ROUNDING = 1e-9
