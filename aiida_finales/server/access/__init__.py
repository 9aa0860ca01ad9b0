"""Who may come in: ``users`` with their roles, ``login`` and its tokens, kept in ``private_files``."""
