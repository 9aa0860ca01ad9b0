"""Copies of the whole profile: ``backup`` makes and restores, ``copy`` moves the files, ``schedule`` repeats."""
