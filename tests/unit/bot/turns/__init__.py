"""Unit tests of bot/turns, one file per module."""
