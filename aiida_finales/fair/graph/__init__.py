"""Everything as linked data: ``document`` puts together what a file each describes (people, requests, results, ...).

``terms`` has the vocabulary, ``triples`` the flat form, ``selection`` says what belongs to a campaign.
"""
