"""The simulated laboratory: ``asab``, ``autobass``, ``cycler``, ``operator``, each a driver.

``mixing``, ``channels`` and ``cycling_file`` are parts of them, ``device`` is what they share, with ``faults`` that
strike, ``settings``, and the ``inventory`` of bottles, vials and cells; ``manage`` is the command ``finales-lab``.
"""
