"""What `tickertape check` finds out about the model: one tiny request, and what its outcome means for the operator."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from adapters.openai.model import OpenAIModel
from adapters.openai.options import OPENAI_BASE_URL, OpenAIOptions
from adapters.shared.diagnostics import CheckResult
from bot.conversation import Finish, Message, Prompt, Reasoning, Refusal, Role, Text
from bot.errors import Failure, ModelRejected, RateLimited, RejectionReason, ServiceError

# A local model that is loaded on the first request may take this long; a hosted one answers in a few. Seconds.
CHECK_SECONDS = 60.0

PROMPT = Prompt("", (Message(Role.USER, (Text("Reply with the word ok."),)),))

CHECK_PARAMETERS = "see whether OPENAI_BASE_URL (it usually ends in /v1) and the configured parameters are right"

REMEDIES = {
    RejectionReason.CREDENTIALS: "set OPENAI_API_KEY to a valid key of this server's, one that may use this model",
    RejectionReason.MODEL: "set OPENAI_MODEL to a model that this server has",
    RejectionReason.QUOTA: "the account has no credit left: see its billing page",
    RejectionReason.CONTEXT: "the model's context is too small even for one line",
    RejectionReason.SETUP: CHECK_PARAMETERS,
    RejectionReason.REQUEST: CHECK_PARAMETERS,
}


async def check(options: OpenAIOptions) -> list[CheckResult]:
    """What is wrong with the options, or else whether a tiny streamed request is answered. Costs a few tokens."""
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
        line = f"{options.where} did not answer within {CHECK_SECONDS:.0f} s"
        return [
            CheckResult("model", ok=False, message=line, fix="see whether the server is overloaded or still loading")
        ]
    finally:
        await model.close()


def _missing(options: OpenAIOptions) -> list[CheckResult]:
    findings = []
    if not options.model:
        findings.append(
            CheckResult("model", ok=False, message="no model is named", fix="set OPENAI_MODEL to a model's name")
        )
    if not options.api_key.strip() and options.base_url.rstrip("/") == OPENAI_BASE_URL:
        remedy = "set OPENAI_API_KEY, or OPENAI_BASE_URL to a server that wants no key"
        findings.append(CheckResult("model", ok=False, message="there is no key for the hosted API", fix=remedy))
    return findings


async def _ask(model: OpenAIModel, options: OpenAIOptions) -> CheckResult:
    """Ask with streaming; where that breaks, once more without, since the bot would do the same."""
    name = f"{options.model} at {options.where}"
    try:
        answered = await _answers(model, stream=True)
        return _answered(name) if answered else _broken(name, "it ended its answer without saying anything")
    except ServiceError as failure:
        try:
            if await _answers(model, stream=False):
                line = f"{name} answers, but not with streaming ({failure}): answers will appear all at once"
                return CheckResult("model", ok=True, message=line)
        except Failure as second:
            return _failed(name, second)
        return _failed(name, failure)
    except Failure as failure:
        return _failed(name, failure)


async def _answers(model: OpenAIModel, *, stream: bool) -> bool:
    """Whether anything of an answer comes; the rest is not waited for, nor paid for."""
    async with aclosing(model.answer(PROMPT, stream=stream)) as deltas:
        async for delta in deltas:
            if isinstance(delta, Text | Reasoning | Refusal | Finish):
                return True
    return False


def _answered(name: str) -> CheckResult:
    return CheckResult("model", ok=True, message=f"{name} answers")


def _broken(name: str, line: str) -> CheckResult:
    return CheckResult("model", ok=False, message=f"{name}: {line}", fix=REMEDIES[RejectionReason.REQUEST])


def _failed(name: str, failure: Failure) -> CheckResult:
    match failure:
        case ModelRejected(reason=reason):
            remedy = REMEDIES.get(reason, REMEDIES[RejectionReason.REQUEST])  # what is asked has no images
        case RateLimited():
            remedy = "the key and the address are right; try again later, or raise the account's limits"
        case _:
            remedy = "see whether the server runs, and whether OPENAI_BASE_URL is right (it usually ends in /v1)"
    return CheckResult("model", ok=False, message=f"{name}: {failure}", fix=remedy)
