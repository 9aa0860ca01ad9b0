"""Machine-learned potentials of electrolytes by active learning, from classical cells to production: ``finales-mlp``.

No AiiDA in here: the program runs wherever its extra ``mlp`` is installed. Lengths are angstrom, energies eV, forces
eV/angstrom, times ps, in these rooms and in their files; ``finales-md``, in nm and kJ/mol, is the floor below.
"""
