"""Inbound Discord events: parsed once, decided, and stored."""
