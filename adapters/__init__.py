"""One package or module per external system: a platform, a model's server, a page, a store.

Adapters translate between a foreign API and the core's ports and failures. They read no settings (they take values)
and do not decide when to write.
"""
