"""Physics of electrolytes: models, formulation and the analysis of measurements. Imports no AiiDA."""

import numpy as np
import numpy.typing as npt

#: numbers of any shape; docstrings say which
Array = npt.NDArray[np.float64]
