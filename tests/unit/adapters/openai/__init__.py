"""Unit tests of adapters/openai, one file per module."""
