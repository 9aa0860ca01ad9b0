"""Devices, simulated and real, with their drivers. Runs on a laboratory's computer without AiiDA."""
