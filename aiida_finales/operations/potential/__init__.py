"""Machine-learned potentials: which there are (``records``), and how they came to be (``learning``)."""
