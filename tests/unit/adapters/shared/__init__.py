"""Unit tests of adapters/shared, one file per module."""
