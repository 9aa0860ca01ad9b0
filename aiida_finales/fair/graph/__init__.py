"""Everything as linked data: ``document`` puts together what a file each describes (people, requests, results, ...).

``terms`` has the vocabulary, ``triples`` and ``store`` hold the graph, ``query`` asks it, ``selection`` says what
belongs to a campaign.
"""
