"""Inbound Slack events: parsed once, matched, and stored."""
