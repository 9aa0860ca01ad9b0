"""Copies of the whole profile: ``backup`` makes and restores, ``schedule`` repeats."""
