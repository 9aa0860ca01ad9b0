"""Numbers from numbers: electrolytes, liquids, ageing cells and their lifetimes. Imports no AiiDA."""

import numpy as np
import numpy.typing as npt

#: numbers of any shape; docstrings say which
Array = npt.NDArray[np.float64]
