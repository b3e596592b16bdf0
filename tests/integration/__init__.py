"""Real SDK clients against loopback servers."""
