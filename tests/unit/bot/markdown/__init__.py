"""Unit tests of bot/markdown, one file per module."""
