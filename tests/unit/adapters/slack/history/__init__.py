"""Unit tests of adapters/slack/history, one file per module."""
