"""What the positions of atoms in a liquid tell: ``mean_squared_displacement`` and ``diffusion``.

``pair_distribution`` has the structure and the coordination numbers, ``transport_summary`` conductivity with its
error.
"""
