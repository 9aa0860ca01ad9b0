"""What people do with campaigns: look ahead (``plan``, ``prospect``), ``start``, ``steer``, ``overview``, ``words``.

An ``evaluation`` is a result as a campaign counts it.

Afterwards ``report``, ``explain``, choose of the ``front``, ``replay``. ``figures`` draws; ``style`` has colours and
axes, ``molality``, ``triangle`` and ``front`` have figures of their own.
"""
