"""Integration tests of discord, one file per module."""
