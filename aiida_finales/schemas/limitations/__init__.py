"""What a tenant can do, machine-readable: ranges, alternatives, linear constraints.

``offer`` reads what a tenant offers, ``parser`` makes ``nodes`` (one per kind of limitation) of it, ``mixture`` says
which compositions are possible, ``region`` is the polytope of them, ``finding`` what is wrong, and the nearest that is
not.
"""
