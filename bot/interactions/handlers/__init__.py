"""Handlers of the commands, their forms and a person's own page: private, and without cost."""

from bot.interactions.handlers.commands import CommandHandlers
from bot.interactions.handlers.context import HandlerOptions, HandlerPorts

__all__ = ["CommandHandlers", "HandlerOptions", "HandlerPorts"]
