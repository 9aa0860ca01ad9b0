"""What people do with requests and results: post, wait and retract (``serving``), answer and settle (``answering``).

``documents`` reads their files, ``records`` shows them, ``people`` has the tasks for humans, ``matching`` says who
can serve and what is nearest.
"""
