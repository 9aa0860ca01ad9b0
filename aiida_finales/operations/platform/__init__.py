"""Making the platform ready and keeping it well: ``installation``, the simulated ``laboratory``, ``simulation``.

``lifetime_models`` trains and judges, ``channels`` gives back those of cyclers.
"""
