"""Unit tests of adapters/admin, one file per module."""
