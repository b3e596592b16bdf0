"""Character delay on the virtual clock, against the optimum."""
