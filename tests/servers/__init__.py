"""Doubles: loopback servers that speak a platform's true protocol to its real client, with true limits and faults."""
