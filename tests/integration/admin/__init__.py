"""The operator's page over HTTP."""
