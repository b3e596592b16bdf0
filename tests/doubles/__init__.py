"""Loopback servers that speak the real protocols of the outside to the real clients, and fail on command."""
