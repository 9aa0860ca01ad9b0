"""What people do with campaigns: ``start``, watch (``overview``, ``words``), ``report``, ``replay``.

``figures`` draws; ``style`` has colours and axes, ``molality`` and ``triangle`` a figure each.
"""
