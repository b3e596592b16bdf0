"""Many processes, faults and loads; each has a short run in the suite and a long one in the Makefile."""
