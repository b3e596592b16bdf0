"""Inbound Discord events: parsed once, matched, and stored."""
