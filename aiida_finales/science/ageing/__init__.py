"""Cells that age: a ``twin`` and its ``cell``, or PyBaMM (``pybamm``), and what a cycler would see (``cycling``).

``end_of_life`` is the one rule for the cycle at which a cell has ended.
"""
