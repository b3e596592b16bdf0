"""Tests, the platforms' doubles, and the clock that lets tests own time."""
