"""Tickertape's core: what a reply is, and when it is written.

What belongs here: rules that hold on every platform and for every model. What does not: any platform's or vendor's
name, client or wire format (`adapters`), and the reading of settings (`config`). Only `bot.bootstrap`, which builds
the program, imports those; the linter checks it.

The way of the data, in one direction:

    platform event -> Turn -> turns -> completion: Delta* Finish -> reply: text
        text -> markdown: segments (wanted) -> pacer (shown against wanted, a permit) -> Channel.post / edit
"""
