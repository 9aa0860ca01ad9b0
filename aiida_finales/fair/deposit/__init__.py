"""A package goes to a repository: ``deposit`` does it, ``invenio`` talks, ``archives`` knows addresses and progress."""
