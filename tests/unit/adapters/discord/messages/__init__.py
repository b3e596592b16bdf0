"""Unit tests for adapters.discord.messages."""
