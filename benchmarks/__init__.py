"""What a reader waits for, measured on the doubles: nothing here is shipped, and nothing here decides anything."""
