"""What a reader sees of an answer: desired messages, the next write, and when it may be sent."""
