"""What people can do at the platform, however they reach it: post, wait, answer, look, tell the story, set up, cure.

The command line, the Python interface and the server are different doors to these same rooms.
"""
