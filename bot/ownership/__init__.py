"""Which process does what, where several share one engine: leases, lanes, and shares of common rate limits.

Pure rules, without I/O. Times are the event loop's unless a name says "engine". The engine is the
database shared by all processes; `bot.ownership.ports` has its interface.
"""
