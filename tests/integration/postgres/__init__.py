"""Integration tests of postgres, one file per module."""
