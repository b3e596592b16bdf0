"""The tree of failures, named by the caller's next step.

    Failure
    ├── Retryable            repeat the same call, after `retry_after` seconds or by our policy
    │   ├── RateLimited      ... and nothing else under the same limit until then (429)
    │   ├── ServiceError     ... it certainly did not work: a model's error status, a malformed stream
    │   │   └── ConnectFailed    ... no connection: the server may be restarting
    │   │       └── NotReady         ... the server answers "not ready": treat alike
    │   └── OutcomeUnknown   ... and it may have worked: sent, but the response was lost (a lost connection, a timeout,
    │                        a platform's 5xx)
    └── Permanent            the same call would fail again
        ├── NotFound         the message or channel no longer exists: stop the turn, pay for no more tokens
        ├── StreamRefused    no native stream can be started here: the same answer goes on with posts and edits
        ├── StreamEnded      the platform closed the stream: its message is an ordinary one from now on
        ├── StreamOpen       an edit of a message that streams still: stop the stream first
        ├── NotOwner         another process owns the lane: end the turn here, without another write
        ├── Forbidden        we lack permission: stop the turn, tell the operator
        ├── InvalidRequest   the platform rejects this body: a bug of ours or a changed rule
        │   ├── TooLarge         ... smaller or plainer messages may pass, as the channel's `caps` now say
        │   └── NotEditable      ... this message takes no more edits; new posts may pass
        └── ModelRejected    the model's server rejects this prompt; `reason` says why

Adapters raise nothing else: each translates its SDK's errors in one place, and a test finds untranslated ones. Messages
are for the operator's log; readers never see them.
"""

from __future__ import annotations

from enum import Enum


class Failure(Exception):
    """Something outside did not work. The message is for the log and never holds a secret."""


def cause_of(failure: Failure | TimeoutError) -> str:
    """The cause in one line of a log: a timeout has no message of its own."""
    return str(failure) or ("no answer in time" if isinstance(failure, TimeoutError) else type(failure).__name__)


class Retryable(Failure):
    """Repeat the same call.

    `retry_after` is the server's request in seconds: 0.0 is at once (a stale kept-alive connection); None leaves it to
    our policy.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Retryable):
    """A 429: everything under the same limit waits.

    `is_global`: it covers all our requests (Discord's global limit).
    """

    def __init__(self, message: str, *, retry_after: float | None = None, is_global: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.is_global = is_global


class ServiceError(Retryable):
    """It did not work, for certain."""


class ConnectFailed(ServiceError):
    """No connection was made, to a model's server or a platform: it may be restarting, or the network is down."""


class NotReady(ConnectFailed):
    """A starting server, or a proxy in front of one."""


class OutcomeUnknown(Retryable):
    """It may have worked: the answer was lost on the way. An edit is simply made again; a post is looked up first."""


class Permanent(Failure):
    """The same call would fail again."""


class NotFound(Permanent):
    """The message or the channel does not exist any more."""


class NotOwner(Permanent):
    """Another process owns the turn's lane, and completes the answer."""


class Forbidden(Permanent):
    """We may not do this there (no permission, a revoked token)."""


class StreamRefused(Permanent):
    """No native stream can be started here, now or later in this answer."""


class StreamEnded(Permanent):
    """The platform takes no more text for this stream; an edit corrects its message."""


class StreamOpen(Permanent):
    """The platform takes no edit of this message while it streams."""


class InvalidRequest(Permanent):
    """The platform refuses this body (too long, malformed)."""


class TooLarge(InvalidRequest):
    """The platform rejects this body's size or shape; `Channel.caps` now describe an acceptable one."""


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
    SETUP = "setup"  # the bot's set-up: a wrong base URL, a parameter unknown to the server
    REQUEST = "request"  # any other fault of our request


class ModelRejected(Permanent):
    """The model's server will not answer this prompt, however often it is asked."""

    def __init__(self, message: str, *, reason: RejectionReason) -> None:
        super().__init__(message)
        self.reason = reason
