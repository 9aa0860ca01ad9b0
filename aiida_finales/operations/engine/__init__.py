"""The profile and the programs behind it: open a ``profile``, find the ``daemon``, stay in ``connection`` with it.

``leftovers`` are processes of the operating system that a killed daemon leaves.
"""
