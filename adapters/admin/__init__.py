"""The operator's page at ``/admin``."""
