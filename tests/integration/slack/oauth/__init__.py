"""Installations by OAuth, against a loopback Slack."""
