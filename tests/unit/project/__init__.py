"""Unit tests of project, one file per module."""
