"""Unit tests of adapters, one file per module."""
