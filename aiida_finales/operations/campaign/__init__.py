"""What people do with campaigns: look ahead (``prospect``), ``start``, ``steer``, watch (``overview``, ``words``).

Afterwards ``report``, ``explain``, choose of the ``front``, ``replay``. ``figures`` draws; ``style`` has colours and
axes, ``molality``, ``triangle`` and ``front`` have figures of their own.
"""
