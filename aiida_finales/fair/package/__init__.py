"""A campaign as a citable package: ``export`` makes it step by step, ``verify`` checks and ``receive`` reads one.

``archive``, ``rewrite``, ``copy`` and ``draft`` make its AiiDA archive; ``tables``, ``datasheet``, ``crate``,
``graph``, ``raw_files`` and ``files`` what lies beside it; ``privacy``, ``openness`` and ``confidential`` what stays at
home.
"""
