"""Prediction of the end of life from early cycles: one interface, several methods.

``model`` has the records and the interface, ``methods`` reads and trains a model of any kind, ``gp`` and ``lstm``
(with ``networks``) are the kinds; ``features`` and ``data`` feed them, ``checks`` and ``score`` judge.
"""
