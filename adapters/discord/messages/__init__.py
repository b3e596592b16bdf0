"""Outbound Discord messages: channel, rendering and components."""
