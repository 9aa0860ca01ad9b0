"""AiiDA nodes: request, result, capability, tenant, suggestion; the group of a campaign."""
