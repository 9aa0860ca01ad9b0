"""What every driver shares: its ``command`` line, the ``journal`` that makes it act once, ``recall`` of what it did.

``reading`` checks its input file, ``evaluation`` rates its output; ``template`` is a driver to copy and fill in.
"""
