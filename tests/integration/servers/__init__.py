"""Integration tests of servers, one file per module."""
