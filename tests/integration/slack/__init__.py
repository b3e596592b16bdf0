"""Integration tests of slack, one file per module."""
