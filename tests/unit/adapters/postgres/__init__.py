"""Unit tests of adapters/postgres, one file per module."""
