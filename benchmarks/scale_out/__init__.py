"""Many processes with one engine, on the virtual clock."""
