"""Asking the graph by meaning: ``ask`` in SPARQL or by the names in ``queries``, ``library`` as a graph of rdflib.

``store`` keeps the triples for both.
"""
