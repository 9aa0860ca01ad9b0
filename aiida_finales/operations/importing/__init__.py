"""Existing data come in: a ``table``, the database of a ``finales`` server, an ``archive``."""
