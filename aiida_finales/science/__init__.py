"""Numbers from numbers: electrolytes, liquids, ageing cells and their lifetimes. Imports no AiiDA."""
