"""Unit tests of adapters/slack/messages, one file per module."""
