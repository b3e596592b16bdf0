"""Responses to interactions: acknowledgements, private notices, forms."""
