"""Integration tests of playground, one file per module."""
