"""Helpers of the tests: the virtual clock, in-memory ports, and harnesses of real parts."""
