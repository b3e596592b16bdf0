"""Traces over real sockets."""
