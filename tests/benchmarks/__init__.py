"""Tests of the benchmarks: they run, and their results keep within their bounds."""
