"""Unit tests for adapters.discord.history."""
