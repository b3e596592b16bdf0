"""Tests of one module each, on plain values or the virtual clock."""
