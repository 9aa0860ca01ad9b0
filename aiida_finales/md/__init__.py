"""Molecular dynamics of electrolytes, from formulation to unwrapped trajectory of the ions: ``finales-md``.

No AiiDA in here: the program runs wherever its extra ``md`` is installed.
"""
