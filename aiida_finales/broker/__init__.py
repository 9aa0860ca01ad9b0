"""Who holds what: queue, reservation, matching with limitations, status history."""
