"""The operator's choices: settings with their sources and generated documents, and the set-up of logging.

Using a setting does not belong here: the composition root in `bot` passes settings on as the core's and the adapters'
own values.
"""
