"""Installations of the Slack app by OAuth, for many workspaces over HTTP."""
