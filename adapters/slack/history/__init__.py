"""What was said in a Slack conversation: cached, read, and recovered after a crash."""
