"""Unit tests of adapters/opentelemetry, one file per module."""
