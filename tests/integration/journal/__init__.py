"""Integration tests of journal, one file per module."""
