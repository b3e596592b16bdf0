"""`tickertape check` for the model: one tiny request, and advice for the operator."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType

from adapters.openai.model import OpenAIModel
from adapters.openai.options import OPENAI_BASE_URL, OpenAIOptions
from adapters.shared.diagnostics import CheckResult
from bot.conversation import Finish, Message, Prompt, Reasoning, Refusal, Role, Text
from bot.errors import Failure, ModelRejected, RateLimited, RejectionReason, ServiceError

# Loading a local model at the first request may take this long; a hosted one answers in a few seconds. Seconds.
CHECK_SECONDS = 60.0

PROMPT = Prompt("", (Message(Role.USER, (Text("Reply with the word ok."),)),))

CHECK_PARAMETERS = "check OPENAI_BASE_URL (it usually ends in /v1) and the configured parameters"

FIXES = MappingProxyType(
    {
        RejectionReason.CREDENTIALS: "set OPENAI_API_KEY to a valid key of this server with access to this model",
        RejectionReason.MODEL: "set OPENAI_MODEL to a model of this server",
        RejectionReason.QUOTA: "the account has no credit left: see its billing page",
        RejectionReason.CONTEXT: "the model's context is too small even for one line",
        RejectionReason.SETUP: CHECK_PARAMETERS,
        RejectionReason.REQUEST: CHECK_PARAMETERS,
    }
)

# The keys of ``[[models]]`` for the main model's variables.
LISTED_KEYS = MappingProxyType(
    {"OPENAI_API_KEY": "its api_key_env", "OPENAI_BASE_URL": "its server", "OPENAI_MODEL": "its model"}
)


async def check(options: OpenAIOptions, name: str = "") -> list[CheckResult]:
    """Check the options, then send a tiny streamed request. Costs a few tokens.

    `name` is that of a listed model; empty for the main one.
    """
    results = await _check(options)
    return [_about_listed(result, name) for result in results] if name else results


def _about_listed(result: CheckResult, name: str) -> CheckResult:
    """The result for a listed model, with its own keys in place of the main model's variables."""
    fix = result.fix
    for variable, key in LISTED_KEYS.items():
        fix = fix.replace(variable, key)
    return replace(result, subject=f"model {name}", fix=fix)


async def _check(options: OpenAIOptions) -> list[CheckResult]:
    missing = _missing(options)
    if missing:
        return missing
    try:
        model = OpenAIModel(options)
    except Failure as failure:
        return [_failed(options.where, failure)]
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return [await _ask(model, options)]
    except TimeoutError:
        message = f"{options.where} did not answer within {CHECK_SECONDS:.0f} s"
        return [
            CheckResult(
                "model", ok=False, message=message, fix="check whether the server is overloaded or still loading"
            )
        ]
    finally:
        await model.close()


def _missing(options: OpenAIOptions) -> list[CheckResult]:
    results = []
    if not options.model:
        results.append(
            CheckResult("model", ok=False, message="no model is set", fix="set OPENAI_MODEL to a model's name")
        )
    if not options.api_key.strip() and options.base_url.rstrip("/") == OPENAI_BASE_URL:
        fix = "set OPENAI_API_KEY, or OPENAI_BASE_URL to a server without keys"
        results.append(CheckResult("model", ok=False, message="there is no key for the hosted API", fix=fix))
    return results


async def _ask(model: OpenAIModel, options: OpenAIOptions) -> CheckResult:
    """Ask with streaming; if that fails, once more without, as the bot would do."""
    name = f"{options.model} at {options.where}"
    try:
        answered = await _any_delta(model, stream=True)
        return _works(name) if answered else _broken(name, "its answer was empty")
    except ServiceError as failure:
        try:
            if await _any_delta(model, stream=False):
                message = f"{name} answers, but not with streaming ({failure}): answers will appear all at once"
                return CheckResult("model", ok=True, message=message)
        except Failure as second:
            return _failed(name, second)
        return _failed(name, failure)
    except Failure as failure:
        return _failed(name, failure)


async def _any_delta(model: OpenAIModel, *, stream: bool) -> bool:
    """Whether any part of an answer arrives. The rest is neither read nor paid for."""
    async with aclosing(model.answer(PROMPT, stream=stream)) as deltas:
        async for delta in deltas:
            if isinstance(delta, Text | Reasoning | Refusal | Finish):
                return True
    return False


def _works(name: str) -> CheckResult:
    return CheckResult("model", ok=True, message=f"{name} answers")


def _broken(name: str, problem: str) -> CheckResult:
    return CheckResult("model", ok=False, message=f"{name}: {problem}", fix=FIXES[RejectionReason.REQUEST])


def _failed(name: str, failure: Failure) -> CheckResult:
    match failure:
        case ModelRejected(reason=reason):
            fix = FIXES.get(reason, FIXES[RejectionReason.REQUEST])  # this request has no images
        case RateLimited():
            fix = "the key and the address are right; try again later, or raise the account's limits"
        case _:
            fix = "check that the server runs and that OPENAI_BASE_URL is right (it usually ends in /v1)"
    return CheckResult("model", ok=False, message=f"{name}: {failure}", fix=fix)
