"""Unit tests of support, one file per module."""
