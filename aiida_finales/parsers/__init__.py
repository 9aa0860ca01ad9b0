"""One parser per kind of driver."""
