"""Unit tests of adapters/discord/events, one file per module."""
