"""Unit tests of bot, one file per module."""
