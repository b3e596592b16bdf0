"""Unit tests of bot/rate_limits, one file per module."""
