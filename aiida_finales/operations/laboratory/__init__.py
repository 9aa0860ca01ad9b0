"""The laboratory as it is now.

``devices``: who does what for whom; ``timeline``: what each did; ``things``: samples by place, bottles and channels.
"""
