"""Unit tests of bot/delivery, one file per module."""
