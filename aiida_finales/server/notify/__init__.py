"""Messages about what happens: a ``loop`` looks for ``events`` and sends them by ``channels``, as ``settings`` say."""
