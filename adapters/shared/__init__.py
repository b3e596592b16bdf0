"""Utilities of more than one adapter: caches, locks, queues, JSON fields, files and labels."""
