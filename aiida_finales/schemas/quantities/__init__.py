"""What is asked and answered, quantity by quantity: one form, one declaration.

``common`` holds what several share (chemicals, electrodes, runs); ``liquid`` conductivity, density and structure;
``electrolyte`` mixing, cell assembly and transport; ``cycling`` channels and capacities; ``degradation`` the end of
life.
"""
