"""Who holds what: queue, reservation, matching with limitations, status history."""

from aiida_finales.broker.disconnection import end_when_disconnected
from aiida_finales.broker.patience import have_patience

# every program that writes states comes through here, workers as well, and AiiDA has no option for either
have_patience()
end_when_disconnected()
