"""Tickertape's core: the rules for replies on every platform and with every model.

The core knows no platform, no vendor, no client and no wire format (`adapters`), and reads no settings (`config`). Only
`bot.bootstrap`, which builds the program, imports those; the linter checks it.

Data flows in one direction:

    platform event -> Turn -> turns -> completion: Delta* Finish -> reply: text
        text -> markdown: segments (desired) -> pacer (posted against desired, a permit) -> Channel.post / edit
"""
