"""The journal's parts without a file or a server."""
