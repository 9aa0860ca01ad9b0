"""Where a result comes from: the ``story`` of a node and its ``words``, the ``genealogy`` of samples."""
