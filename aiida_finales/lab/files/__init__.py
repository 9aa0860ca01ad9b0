"""Files of instruments: ``kinds`` opens one by what is in it, ``spectrum`` and ``cycling`` say what it means.

What a cell tells that was cycled is in ``cycled_cell``.
``text`` and ``binary`` make a ``recording`` of it, columns with the units of its header; ``galvani_table`` is run by
the Python of another environment. Libraries are imported when a file needs them (extra ``instruments``).
"""
