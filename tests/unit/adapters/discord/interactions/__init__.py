"""Tests of the responses to interactions."""
