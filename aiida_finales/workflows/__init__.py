"""The serving of one request, and the loop of a campaign."""
