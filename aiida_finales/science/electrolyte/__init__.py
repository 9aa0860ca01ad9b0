"""Numbers of an electrolyte: ``composition`` (molality, molarity, mass fractions), ``density``, ``conductivity``.

``formulation`` finds the volumes of stock solutions, ``impedance`` the resistance in a spectrum, ``validity`` says
where the closed forms hold.
"""
