"""Who holds what: queue, reservation, matching with limitations, status history."""

from aiida_finales.broker.patience import have_patience

# every program that writes states comes through here, workers as well, and AiiDA has no option for it
have_patience()
