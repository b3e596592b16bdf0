"""Outbound Slack messages: channel, rendering, blocks and files."""
