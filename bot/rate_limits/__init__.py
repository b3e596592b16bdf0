"""Rate limits as plain objects: each says when the next call may be sent, and learns from responses."""
