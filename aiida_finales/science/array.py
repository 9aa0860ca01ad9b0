"""The one kind of array that numbers come in.

Not in the room's opening lines: drivers read compositions there, and start without numpy.
"""

import numpy as np
import numpy.typing as npt

#: numbers of any shape; docstrings say which
Array = npt.NDArray[np.float64]
