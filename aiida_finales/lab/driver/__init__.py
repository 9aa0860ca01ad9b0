"""What every driver shares: its ``command`` line, the ``journal`` that makes it act once, ``recall`` of what it did.

``reading`` checks its input file, ``evaluation`` rates its output; ``template`` is a driver to copy and fill in.
"""

from aiida_finales.lab.driver.command import END_MARKER, PATIENCE, Call, Device, run_driver, say
from aiida_finales.lab.driver.recall import RecallingDevice, run_recalling_driver

__all__ = ["END_MARKER", "PATIENCE", "Call", "Device", "RecallingDevice", "run_driver", "run_recalling_driver", "say"]
