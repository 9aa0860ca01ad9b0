"""All that the outside reaches by name."""
