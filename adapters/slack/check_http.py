"""Checks of events over HTTP: the signing secret, and a real request to the request URL, through every proxy.

Slack does not tell a bot its request URL, so an operator names it: ``tickertape check --url https://bot.example.com``.
The request is Slack's check of a new URL (https://docs.slack.dev/reference/events/url_verification), signed with our
secret: its challenge comes back only if the bot there has the same secret and the body arrives unchanged.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType

import aiohttp
import yarl
from slack_sdk.signature import SignatureVerifier

from adapters.shared.diagnostics import CheckResult
from adapters.slack.errors import code_of
from adapters.slack.http_requests import JSON, MAX_AGE_SECONDS, PATH
from adapters.slack.options import SlackOptions
from adapters.slack.web_api import WebApi
from bot.errors import Failure, InvalidRequest

APPS = "https://api.slack.com/apps"
SECRET, URL = "Slack signing secret", "Slack request URL"  # the subjects
SECRET_FIX = f"{APPS} > your app > Basic Information > App Credentials: copy the Signing Secret to SLACK_SIGNING_SECRET"
FORWARD_FIX = f"forward POST {PATH} to the bot, with the body and the X-Slack-* headers unchanged (docs/slack.md)"
SOCKET_FIX = f"{APPS} > your app > Socket Mode: disable it, or remove SLACK_SIGNING_SECRET to use the socket"

# Slack gives a request up after this, in seconds (https://docs.slack.dev/apis/events-api/#responding).
RESPONSE_SECONDS = 3.0
# Bytes of the larger request. An event with a long message has some 100 kB; firewalls may refuse more than 8 kB.
LARGE_BODY = 100_000
# Bytes of a response that are read.
MAX_RESPONSE = 10_000

_SIGNING_SECRET = re.compile(r"[0-9a-f]{32}")
_TOKENS = ("xoxb-", "xapp-", "xoxp-", "xoxe", "xwfp-")

# Statuses of others than the bot, or of a bot that cannot answer, with the way to mend them.
_PROBLEMS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        400: ("refuses the request as malformed", FORWARD_FIX),
        403: ("forbids it: a proxy or a firewall stands before the bot", f"allow POST {PATH} there, without a login"),
        404: ("does not know the path", FORWARD_FIX),
        405: ("takes no POST", FORWARD_FIX),
        411: ("wants another form of body", FORWARD_FIX),
        413: ("refuses the size of the body", "raise the proxy's limit of a body to 4 MB"),
        415: ("refuses JSON", FORWARD_FIX),
        502: ("does not reach the bot", "start the bot, and compare the proxy's target with its address"),
        503: ("says that the bot is not ready", "start the bot, and see its log and /readyz"),
        504: ("gets no answer from the bot", "start the bot, and compare the proxy's target with its address"),
    }
)


@dataclass(frozen=True, slots=True)
class RequestUrlToCheck:
    """The way of Slack's requests: `url` as `parse_address` returns it, empty if unknown.

    `host` and `port` are those of the bot's HTTP server. `wall_clock` stamps the signatures.
    """

    host: str
    port: int
    url: str
    wall_clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    headers: Mapping[str, str]
    seconds: float


def parse_address(text: str) -> str:
    """The request URL at an address typed by an operator; without a path, at the usual one.

    Raises `InvalidRequest` with one line for the operator. Also takes http and IP addresses, to try parts of a way.
    """
    try:
        url = yarl.URL(text.strip())
    except ValueError:
        url = yarl.URL()
    plain = url.with_query(None).with_fragment(None).with_user(None) if url.host else url
    if url.scheme not in ("http", "https") or not url.host or url != plain:
        raise InvalidRequest("--url: the address must be like https://bot.example.com")
    return str(url.with_path(PATH) if url.path in ("", "/") else url)


async def check_http(options: SlackOptions, web: WebApi, way: RequestUrlToCheck) -> list[CheckResult]:
    """Check the signing secret, Socket Mode, and the request URL if it is known. Never raises.

    An `app_token` in `options` only tells whether Socket Mode is on.
    """
    results = [_check_secret(options.signing_secret)]
    if options.app_token:
        results += await _check_socket_mode(web)
    if not way.url:
        return [*results, _explained(way.host, way.port)]
    return [*results, await _check_url(way.url, options.signing_secret, way.wall_clock)]


def _check_secret(secret: str) -> CheckResult:
    if secret.startswith(_TOKENS):
        return CheckResult(SECRET, ok=False, message="this is a token", fix=SECRET_FIX)
    if _SIGNING_SECRET.fullmatch(secret) is None:
        message = "looks wrong: Slack's have 32 hexadecimal digits"
        return CheckResult(SECRET, ok=True, warning=True, message=message, fix=SECRET_FIX)
    return CheckResult(SECRET, ok=True, message="has the form of one; only a request of Slack's can prove it")


async def _check_socket_mode(web: WebApi) -> list[CheckResult]:
    """A failure if Socket Mode is on: then Slack sends nothing to the request URL."""
    try:
        await web.socket_url()
    except Failure as failure:
        is_off = code_of(failure) in ("link_disabled", "socket_mode_not_enabled", "not_allowed")
        return [CheckResult("Slack Socket Mode", ok=True, message="is off, as HTTP needs it")] if is_off else []
    message = "is on, so Slack sends events to sockets and none to the request URL"
    return [CheckResult("Slack Socket Mode", ok=False, message=message, fix=SOCKET_FIX)]


NOT_OVER_HTTP = CheckResult(
    URL,
    ok=False,
    message="is not tried: Slack's events do not arrive over HTTP",
    fix="set SLACK_BOT_TOKEN and SLACK_SIGNING_SECRET, and TICKERTAPE_SLACK_EVENTS=http beside an app token",
)


def _explained(host: str, port: int) -> CheckResult:
    local = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
    if host in ("0.0.0.0", "::"):  # noqa: S104 (a comparison)
        local = f"port {port} of this machine"
    local = local if port else "the address in the log of the bot"
    return CheckResult(
        URL,
        ok=True,
        message=f"https://<your host>{PATH} must lead to {local}. Slack asks for it three times: at Event "
        "Subscriptions, at Interactivity & Shortcuts, and in the slash command",
        fix="`tickertape manifest --http https://<your host>` fills it in, and `tickertape check --url "
        "https://<your host>` tries it while the bot runs. TICKERTAPE_HOST=0.0.0.0 lets a proxy on another machine in",
    )


# ----------------------------------------------------------------------------------------------------- request URL


async def _check_url(url: str, secret: str, wall_clock: Callable[[], datetime]) -> CheckResult:
    """Send Slack's check of a request URL; then a larger one, and one with a wrong signature."""
    timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            challenge = secrets.token_hex(16)
            first = await _send(session, url, secret, challenge, wall_clock())
            if (found := _problem(first, challenge, wall_clock())) is not None:
                return found
            large = await _send(session, url, secret, challenge, wall_clock(), padding=LARGE_BODY)
            if (
                found := _problem(large, challenge, wall_clock(), f" to a body of {LARGE_BODY // 1_000} kB")
            ) is not None:
                return found
            forged = await _send(session, url, secrets.token_hex(16), challenge, wall_clock())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _unreachable(url, error)
    if forged.status < HTTPStatus.BAD_REQUEST:
        message = f"answers {forged.status} to a wrong signature: anybody can ask there"
        return _failed(message, FORWARD_FIX)
    if url.startswith("http:"):
        message = f"works in {first.seconds:.2f} s, but Slack sends to https alone"
        return CheckResult(URL, ok=True, warning=True, message=message, fix="put a proxy with a certificate before it")
    return CheckResult(URL, ok=True, message=f"works: the challenge came back in {first.seconds:.2f} s")


async def _send(
    session: aiohttp.ClientSession, url: str, secret: str, challenge: str, now: datetime, *, padding: int = 0
) -> _Response:
    """Send a url_verification, signed now. Redirects are answers."""
    body = json.dumps({"token": "", "challenge": challenge, "type": "url_verification", "padding": "x" * padding})
    timestamp = str(int(now.timestamp()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    headers = {
        "Content-Type": JSON,
        "User-Agent": "tickertape check",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature or "",
    }
    loop = asyncio.get_running_loop()
    sent = loop.time()
    async with session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
        text = await response.content.read(MAX_RESPONSE)
        return _Response(response.status, text, response.headers, loop.time() - sent)


def _problem(response: _Response, challenge: str, now: datetime, what: str = "") -> CheckResult | None:
    """The failure in a response; None if the challenge came back."""
    status = response.status
    if status == HTTPStatus.OK:
        return (
            None
            if _has_challenge(response.body, challenge)
            else _failed(
                f"answers 200{what} without the challenge: something else than the bot answers there", FORWARD_FIX
            )
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(response, now)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _failed(
            f"answers {status}{what}: it redirects to {_target(response)}", "use the final address, with https"
        )
    problem, fix = _PROBLEMS.get(status, ("is a fault of the proxy or the bot", "see the logs of both"))
    return _failed(f"answers {status}{what}: it {problem}" if status in _PROBLEMS else f"answers {status}{what}", fix)


def _unauthorized(response: _Response, now: datetime) -> CheckResult:
    if "WWW-Authenticate" in response.headers:
        return _failed("answers 401: a proxy asks for a password", f"let POST {PATH} pass without a login")
    if abs(skew := _skew(response, now)) > timedelta(seconds=MAX_AGE_SECONDS):
        message = f"answers 401: the clocks here and there differ by {abs(skew.total_seconds()):.0f} s"
        return _failed(message, "set both clocks by NTP: Slack's requests are valid for five minutes")
    message = "answers 401: the bot there has another signing secret, or the body was changed on its way"
    return _failed(message, f"start the bot with this SLACK_SIGNING_SECRET; {FORWARD_FIX}")


def _skew(response: _Response, now: datetime) -> timedelta:
    """The other clock less ours; zero if unknown."""
    with suppress(KeyError, ValueError, TypeError):
        told = parsedate_to_datetime(response.headers["Date"])
        return (told if told.tzinfo else told.replace(tzinfo=UTC)) - now
    return timedelta()


def _target(response: _Response) -> str:
    """Where a redirect leads, without its query."""
    with suppress(KeyError, ValueError):
        return str(yarl.URL(response.headers["Location"]).with_query(None).with_user(None))
    return "nowhere"


def _has_challenge(body: bytes, challenge: str) -> bool:
    with suppress(ValueError, RecursionError):
        answer = json.loads(body)
        return isinstance(answer, dict) and answer.get("challenge") == challenge
    return body.decode("utf-8", "replace").strip() == challenge


def _unreachable(url: str, error: Exception) -> CheckResult:
    host = yarl.URL(url).host
    if isinstance(error, TimeoutError):
        message = f"gives no answer within {RESPONSE_SECONDS:.0f} s, and Slack waits no longer"
        return _failed(message, "start the bot, and let the proxy forward at once, without a wake-up or a queue")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _failed(f"has a name without an address: {host}", "set the DNS record, and wait until it is known")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        fix = "install a certificate of a public authority for this name, with its intermediate certificates"
        return _failed(f"has a certificate that Slack does not take, or none: {_reason(error)}", fix)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _failed(f"refuses connections: {_reason(error)}", "start the proxy, and open its port in the firewall")
    return _failed(f"breaks the connection off: {type(error).__name__}", "see the log of the proxy")


def _reason(error: Exception) -> str:
    """The system's or the TLS library's words, on one line."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return " ".join(str(getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or inner).split())[:200]


def _failed(message: str, fix: str) -> CheckResult:
    return CheckResult(URL, ok=False, message=message, fix=fix)
