"""What was said in a Discord conversation: cached, read, and recovered after a crash."""
