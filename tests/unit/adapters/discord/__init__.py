"""Unit tests of adapters/discord, one file per module."""
