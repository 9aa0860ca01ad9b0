"""Coefficients of a published polynomial for LiPF6 in EC/PC/EMC.

Rahmanian et al., Batteries & Supercaps 5 (2022) e202200228, doi:10.1002/batt.202200228. Conductivity in mS/cm as a
cubic in x1 = m(PC)/(m(EC)+m(PC)) and x2 = m(LiPF6)/(m(EC)+m(PC)), with (EC+PC):EMC fixed at 3:7, all by mass; one
set of coefficients per temperature.
"""

from __future__ import annotations

import numpy as np

#: K, one per row of COEFFICIENTS
TEMPERATURES = np.arange(243.0, 334.0, 10.0)

#: mS/cm; columns: 1, x1, x2, x1^2, x1 x2, x2^2, x1^3, x1^2 x2, x1 x2^2, x2^3
COEFFICIENTS = np.array(
    [
        [1.0, -0.3, 5.6, 0.9, -2.3, -9.7, -0.6, 1.4, 0.6, 4.0],  # 243 K
        [1.2, -0.3, 8.9, 0.9, -3.2, -13.6, -0.7, 1.9, 0.8, 5.1],  # 253 K
        [1.4, 1.0, 12.1, 0.1, -3.9, -17.1, -0.3, 2.4, 0.9, 6.1],  # 263 K
        [1.5, 0.4, 15.9, -0.1, -4.9, -21.2, -0.4, 3.3, 0.9, 7.3],  # 273 K
        [1.5, 1.2, 20.4, -0.9, -5.9, -26.1, -0.4, 4.2, 0.7, 8.8],  # 283 K
        [1.6, 1.7, 25.0, -1.4, -6.8, -31.0, -0.3, 5.1, 0.5, 10.5],  # 293 K
        [1.6, 2.7, 29.7, -3.2, -6.9, -35.8, 0.4, 5.6, 0.0, 12.2],  # 303 K
        [1.6, 3.0, 35.1, -3.2, -7.3, -41.9, 1.0, 6.2, -0.6, 14.6],  # 313 K
        [1.6, 3.2, 41.3, -3.2, -7.6, -49.5, 0.0, 6.4, -0.7, 17.6],  # 323 K
        [1.6, 3.0, 47.4, -2.5, -6.9, -57.2, -0.7, 6.6, -1.8, 21.1],  # 333 K
    ]
)
