"""Unit tests of config, one file per module."""
