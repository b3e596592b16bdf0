"""Discord conversations: cached, read over REST, and recovered after a crash."""
