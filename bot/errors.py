"""The tree of failures, named by what the caller should do about them.

    Failure
    ├── Retryable        the same call may be made again, after `retry_after` seconds or when our policy says
    │   ├── Limited      ... and nothing else that spends the same budget before that (429)
    │   ├── Broken       ... it certainly did not work: a model's error status, a malformed stream
    │   │   └── Unreachable  ... nobody is there (a refused connection): it may be restarting
    │   │       └── Unready      ... somebody is there and says that it is not ready: the same
    │   └── Unanswered   ... and it may have worked: the request went out, and no answer says what became of it (a lost
    │                    connection, a time-out, a platform's 5xx)
    └── Permanent        the same call would fail again
        ├── Gone         the message or the channel is there no more: stop the turn, pay for no more tokens
        ├── Forbidden    we may not do this there: stop the turn, tell the operator
        ├── Unacceptable the platform refuses this very body: a bug of ours or a rule that changed
        │   ├── Oversized    ... and may take it in smaller or plainer messages, as the channel's `caps` say from now on
        │   └── Unchangeable ... since this message cannot be edited any more, though new ones may be posted
        └── Declined     the model's server will not answer this prompt, and `reason` says why

Adapters raise nothing else: each translates its SDK's errors in one place, and a test proves that it misses none.
What a failure says is for the operator's log. No reader is ever shown it.
"""

from __future__ import annotations

from enum import Enum


class Failure(Exception):
    """Something outside did not work. The message is for the log and never holds a secret."""


def cause_of(failure: Failure | TimeoutError) -> str:
    """What went wrong, for one line of a log: a time-out has no words of its own."""
    return str(failure) or ("no answer in time" if isinstance(failure, TimeoutError) else type(failure).__name__)


class Retryable(Failure):
    """The same call may be made again.

    `retry_after` is what the other side asked for, in seconds: 0.0 means at once (a kept-alive connection had gone
    stale), None that it did not say and our own policy decides.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Retryable):
    """A 429: everything that spends the same budget waits too.

    `is_global` says that the server meant all our requests (Discord's global limit), not the one budget.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, is_global: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.is_global = is_global


class ServiceError(Retryable):
    """It did not work, for certain."""


class ConnectFailed(ServiceError):
    """No connection was made, to a model's server or a platform: it may be restarting, or the network is down."""


class NotReady(ConnectFailed):
    """A server that is starting, or a proxy whose server is."""


class OutcomeUnknown(Retryable):
    """It may have worked: the answer was lost on the way. An edit is simply made again; a post is looked up first."""


class Permanent(Failure):
    """The same call would fail again."""


class NotFound(Permanent):
    """The message or the channel does not exist any more."""


class Forbidden(Permanent):
    """We may not do this there (no permission, a revoked token)."""


class InvalidRequest(Permanent):
    """The platform refuses this body (too long, malformed)."""


class TooLarge(InvalidRequest):
    """The platform refuses the size or the shape of this body; `Channel.caps` have changed to what it may take."""


class NotEditable(InvalidRequest):
    """The platform takes no edit of this message any more; the text can go on in a new one."""


class RejectionReason(Enum):
    """Why a model's server declined, as far as a reader can use it."""

    QUOTA = "quota"  # the account has no credit left
    CREDENTIALS = "credentials"  # the key is wrong, revoked or may not use this model
    MODEL = "model"  # there is no such model
    CONTEXT = "context"  # the conversation is longer than the model takes
    IMAGES = "images"  # the model takes no images
    IMAGE = "image"  # one of the images cannot be read, or is too large
    TOO_MANY_IMAGES = "too many images"
    SETUP = "setup"  # how the bot is set up: a wrong base URL, a parameter that the server does not know
    REQUEST = "request"  # anything else that is wrong with what we sent


class ModelRejected(Permanent):
    """The model's server will not answer this prompt, however often it is asked."""

    def __init__(self, message: str, *, reason: RejectionReason) -> None:
        super().__init__(message)
        self.reason = reason
