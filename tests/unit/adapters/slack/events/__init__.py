"""Unit tests of adapters/slack/events, one file per module."""
