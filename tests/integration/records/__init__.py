"""The store of records: its ports in memory and in a file."""
