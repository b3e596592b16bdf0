"""What an operator decides: the settings, where they come from, how they are explained, and how the program logs.

What belongs here: everything that reads the environment or a settings file, the defaults and texts that are shipped,
and the words in which settings are explained. What does not: any use of a setting (`bot/__main__` hands them out as the
values that the core and the adapters ask for).
"""
