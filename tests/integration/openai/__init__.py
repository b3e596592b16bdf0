"""Integration tests of openai, one file per module."""
