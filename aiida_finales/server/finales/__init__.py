"""The interface of the published FINALES server: ``routes``, ``requests``, ``results``, ``registry``.

``documents`` writes what old clients expect.
"""
