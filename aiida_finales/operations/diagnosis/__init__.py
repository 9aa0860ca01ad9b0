"""Is everything well? One check per thing that can go wrong, each with a sentence and the exact cure; and doing it.

``check`` is the form of a check, ``processes`` and ``requests`` look at what may be stuck, ``diagnose`` at everything,
``cure`` does what the checks say.
"""
