"""Slack: slack-bolt over Socket Mode, and the Web API.

What belongs here: Slack's wire format and its client, as the core's ports. What does not: when what is written, which
the core decides, and any reading of settings.

    platform  connects, and stays so               link       one socket
    hearing   events -> written down -> turns      kept       an event in the journal (pure)
    asked     is this event for us? (pure)         signs      stops and deletions (pure)
    intake    who asks, and what
    said      one message as a value (pure)        history    a conversation for the model
    memory    what events already told             threads    which threads are ours
    channel   post, edit, delete, find, status     blocks     a body on the wire, and back (pure)
    dialect   markdown that pings nobody (pure)    mrkdwn     Slack's own text format (pure)
    people    names, guests, strangers             workspace  what a workspace's channels share
    client    one call of the Web API              errors     its errors as our failures
    check     do the tokens work?                  scopes     what the app may do, and why
    bounded   a mapping that forgets               lanes      locks by name
"""

from adapters.slack.check import check
from adapters.slack.messages.renderer import SlackMarkdown
from adapters.slack.options import SlackOptions, file_hosts
from adapters.slack.platform import SlackPlatform

__all__ = ["SlackMarkdown", "SlackOptions", "SlackPlatform", "check", "file_hosts"]
