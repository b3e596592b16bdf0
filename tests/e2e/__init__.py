"""The whole program as a process, as an operator starts it."""
