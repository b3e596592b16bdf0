"""Turns: which of them run, fairly and in order, and how each comes to its end."""
