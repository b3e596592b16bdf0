"""Conversations: read from Slack, cached from events, assembled for a model."""
