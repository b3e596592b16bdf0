"""One folder or file for each outside thing: a platform, a model's server, a page, a store.

What belongs here: a client of somebody else's, its wire format, and the translation of both into the core's ports and
failures. What does not: any decision about what is written when, and any reading of settings (adapters take values).
"""
