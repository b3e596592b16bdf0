"""Unit tests of adapters/slack, one file per module."""
