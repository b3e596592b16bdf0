"""Processor time of an answer."""
