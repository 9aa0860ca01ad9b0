"""The simulated laboratory: devices, their journal and their drivers. Runs on a lab computer without AiiDA."""
