"""The reason for a server's error, by its codes and its message: one pattern per reason. Pure.

Each alternative names its vendor as the source.

Codes alone are not enough: OpenAI's are missing or mean something else elsewhere, and gateways wrap a vendor's message
in a body of their own. The first matching pattern counts. The order matters if messages overlap: "the image format is
not supported" is about one image, "image input is not supported" about all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.errors import RejectionReason


@dataclass(frozen=True, slots=True)
class ErrorPattern:
    """A rejection reason: `codes` in lower case, and a pattern for the message. Either one is enough.

    `weak_codes` count only if no message matches: xAI sends "permission-denied" if no credit is left.
    """

    reason: RejectionReason
    codes: frozenset[str]
    message: re.Pattern[str]
    weak_codes: frozenset[str] = frozenset()


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# Attributes of a single image. The model may still accept other images.
_SINGLE_IMAGE = r"(?!\w*[ _-](?:format|file|type|mime|size|mode|dimension|width|height|aspect|extension|encoding)s?\b)"

QUOTA = ErrorPattern(
    RejectionReason.QUOTA,
    frozenset(
        {
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_balance",
            "insufficient_credits",
            "exceeded_current_quota_error",  # Moonshot
            "budget_exceeded",  # LiteLLM
            "arrearage",  # Alibaba
            "credit_balance_too_low",
            "payment_required",
        }
    ),
    _any(
        r"insufficient (account )?(balance|credits?|funds|quota)"
        r"|balance is insufficient",  # DeepSeek, OpenRouter, Zhipu
        r"credit balance is too low",  # Anthropic
        r"(out of|any|no|used all \w*) ?(available )?credits?\b",  # xAI
        r"(monthly )?spending limit|billing hard limit|exceeded your .{0,20}budget|budget has been exceeded",
        r"account is not active.{0,40}billing|account .{0,40}suspended",  # OpenAI, Moonshot
        r"requires more credits|payment required",  # OpenRouter
        r"余额不足|欠费",  # Zhipu, Alibaba
    ),
)

TOO_MANY_IMAGES = ErrorPattern(
    RejectionReason.TOO_MANY_IMAGES,
    frozenset({"too_many_images"}),
    _any(
        r"at most [1-9]\d* image",  # vLLM
        r"too many (images|image_url|media)",  # Anthropic, Groq
        r"(supports?|allows?|accepts?) (only |up to |at most |a maximum of )+(\d+|one|a single) (images?|picture)",
        r"(images?|image count).{0,40}exceeds? the (maximum|limit)( number)?.{0,20}(images|per (request|prompt))",
    ),
)

IMAGE = ErrorPattern(
    RejectionReason.IMAGE,
    frozenset(
        {
            "invalid_image",
            "invalid_image_format",
            "invalid_image_mode",
            "invalid_image_url",
            "invalid_base64",
            "invalid_base64_image",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "image_file_too_large",
            "image_file_not_found",
            "image_content_policy_violation",
            "unsupported_image_media_type",
            "unsupported_image_format",
            "invalidparameter.unsupportedimageformat",  # Volcano Engine
            "empty_image_file",
            "failed_to_download_image",
        }
    ),
    _any(
        # OpenAI, Azure, xAI
        r"(uploaded|provided) an? (unsupported|invalid|corrupt\w*) image|not (represent )?a valid image",
        r"(invalid|corrupt(ed)?|malformed|damaged|unreadable|empty|unrecognized) image\b(?! (input"
        r"|content) (type|part))",
        r"(image|picture|photo)s?\b.{0,40}\b(is|are|was|were|be|seems?|appears?) (not (a )?valid|invalid|corrupt\w*"
        r"|truncated|malformed|empty|unreadable|damaged|too (large|big|small|wide|tall))",
        r"image[ _-]?\w*[ _-](format|file|type|mime|size|mode)s?\b.{0,60}(not (be )?(supported|allowed|valid)"
        r"|unsupported)",
        r"(unsupported|unknown|invalid) (image )?(mime|media|content)[ _-]?type.{0,20}\bimage/",  # Gemini, xAI
        r"(unsupported|unknown|unrecognized) image (format|file|type|mime|encoding|mode)",
        r"not an? (supported|valid|allowed) (image|format)|image format .{0,20}not supported|(not"
        r"|n't) support\w* .{0,30}image (format|file|type)",
        # base64, used for images only: Ollama, vLLM, Gemini, LM Studio
        r"(illegal|invalid|incorrect|malformed|bad|not valid)\W+(\w+\W+)?base64|base64.{0,30}(fail|invalid|error"
        r"|decod)",
        r"must be a base64|incorrect padding",
        # Anthropic
        r"could not process( the)? image|image exceeds .{0,20}maximum|image dimensions? exceed|image does not match",
        r"image\.source",
        # Pillow in vLLM, Go in Ollama; llama.cpp, Gemini and Mistral have words of their own
        r"cannot identify image|image file is truncated|image: unknown format",
        r"(fail\w*|unable|could not|cannot) (to )?(load|decode|open|read|parse|process|download|fetch|retrieve)"
        r" .{0,20}(image|media|picture)",
        r"(image|picture)s?\b.{0,30}(could not|cannot|can't|failed to) (be )?(decode|read|process|load|open"
        r"|parse|download|fetch)",
        r"error (while |in |when )?(decod|read|process|load|open|pars|download|fetch)ing .{0,20}(image|picture)",
        # sizes: Groq, Qwen-VL, Alibaba
        r"image too (large|big|small)|(image|pixel).{0,40}(exceeds?|larger than|smaller than|at least"
        r"|maximum).{0,40}(pixel|mb\b|byte)",
        r"aspect ratio must|(height|width):?\s?\d+ .{0,30}must be",
    ),
)

IMAGES = ErrorPattern(
    RejectionReason.IMAGES,
    frozenset({"image_not_supported", "images_not_supported", "vision_not_supported", "unsupported_modality"}),
    _any(
        r"no endpoints found that support (image|the requested (input )?modal|input modal)",  # OpenRouter
        r"unknown variant .{0,3}(image|input_image)",  # DeepSeek
        r"invalid type: sequence, expected a string|variant of untagged enum \w*content",  # DeepSeek
        r"content\W{0,12}(:|must|should|has to|needs to)( value)? (must )?(be )?(a |of type )?(valid )?string",  # Groq
        r"cannot unmarshal array .{0,80}content",  # Ollama, before it took lists
        r"input should be a valid string",  # FastAPI
        r"can only concatenate str",  # llama-cpp-python
        r"(unsupported|unknown|unexpected|invalid|unrecognized) (content|part|message|input)\W?(\[\]\W)?"
        r"(\W?(part|type|item|block))*.{0,20}(image|input_image)",  # llama.cpp, vLLM, OpenAI
        r"unsupported content\[\]\.type",  # llama.cpp
        r"unsupported (input )?(image_url|input_image|image input|modalit)",
        r"(not|n't|cannot|unable to|without) (currently |yet )?(support|accept|take|allow|process|handle"
        r"|understand|see|view)"
        rf"\w* .{{0,40}}(image{_SINGLE_IMAGE}|vision|multi-?modal|picture)",
        r"(not|n't) (have|a|an) .{0,20}(vision|multi-?modal|image)[ -]?(model|capab|support|encoder|input)?",
        rf"(image|vision|picture|multi-?modal){_SINGLE_IMAGE}[\w`'\"]*( [\w`'\"()]+){{0,4}} (is|are) (not|only"
        rf"|un) ?(currently |yet )?"
        r"(support|allow|enabl|availab|accept|permit)",
        rf"(image|vision|multi-?modal){_SINGLE_IMAGE}\w*( \w+){{0,2}} (unsupported|disabled|unavailable|not (supported"
        rf"|enabled|allowed))",
        r"at most 0 image|mmproj|missing data required for image"
        r"|not compiled for multi-?modal",  # vLLM, llama.cpp, Ollama
        r"(text[- ]only|only (supports?|accepts?|takes?) text|only text (content|input|message)?s? ?(is|are) )",
        r"(not|in) ?capable of .{0,30}(image|vision|picture)",
    ),
)

CONTEXT = ErrorPattern(
    RejectionReason.CONTEXT,
    frozenset(
        {
            "context_length_exceeded",
            "exceed_context_size_error",  # llama.cpp
            "string_above_max_length",
            "array_above_max_length",
            "context_window_exceeded",
            "contextwindowexceedederror",  # LiteLLM
            "tokens_limit_reached",  # GitHub Models
            "request_too_large",  # Anthropic
            "model_max_length_exceeded",
        }
    ),
    _any(
        r"context[ _](length|size|window)(?! for this model)",  # OpenAI, vLLM, llama.cpp, SGLang, MiniMax, LM Studio
        r"max(imum)? (allowed |supported )?(context|model|prompt|input|sequence|total|request)[ _]?(token|length"
        r"|size|limit)",
        r"(prompt|inputs?|requests?|messages?|conversation|query|content|body)\b(.{0,30} (is|are|was"
        r"|were))? too (long|large)",
        r"too many (input |prompt )?tokens",  # Cohere
        r"shorten (your|the) (prompt|input|message|conversation)",
        r"reduce (the length of|your) (the |your )?(messages?|prompt|input)",  # Groq, OpenAI
        r"input token count.{0,40}exceed",  # Gemini
        r"(prompt|input|request|token|message)s?\b.{0,60}(exceed\w*|longer than|greater than|more than|larger than)"
        r".{0,40}(max(imum)?(\b|_)|limit|context|allowed length|n_ctx)",  # Zhipu, Moonshot, GitHub, vLLM, xAI
        r"request (body |entity )?too large|payload too large|string too long",
        r"n_keep|n_ctx|when context the overflows|tokens to keep from the initial prompt",  # LM Studio
        r"token limit (was )?exceeded|exceeded .{0,20}token limit",  # Moonshot
        r"`inputs`.{0,40}(must (have less|be <)|tokens)",  # TGI, Together
        r"too large for model with|maximum (supported )?sequence length",  # Mistral, SambaNova
        r"range of input length",  # Alibaba
        r"sequence length.{0,40}(exceed|longer|greater)",
    ),
)

MODEL = ErrorPattern(
    RejectionReason.MODEL,
    frozenset(
        {
            "model_not_found",
            "model_not_found_error",
            "invalid_model",
            "invalid_model_error",
            "unknown_model",
            "model_decommissioned",  # Groq
            "deploymentnotfound",  # Azure
            "deployment_not_found",
            "model_not_available",
            "model_not_supported",
            "modelnotfound",
            "invalidendpointormodel.notfound",  # Volcano Engine
            "unsupported_api_for_model",
        }
    ),
    _any(
        r"\bmodels?\b.{0,120}(not|n't) (exist|found|available|be found|been found|loaded)"
        r"|model not exist",  # DeepSeek, vLLM
        r"(no such|unknown|invalid|unrecognized|unsupported) model\b|invalid_model",  # Mistral, LiteLLM, Anthropic
        r"not a (valid|known|supported|chat) model|valid model id",  # OpenRouter, OpenAI
        r"\bmodel:? \S{1,80} is (not|un) ?supported",
        r"no endpoints found for|no allowed providers are available",  # OpenRouter
        r"\bmodels?\b.{0,120}(decommissioned|deprecated|retired|discontinued|shut ?down|no longer|sunset"
        r"|end of life)",  # Groq
        r"deployment.{0,60}(not exist|not found)",  # Azure
        r"passed in model=|no healthy deployments|no 'model_name' with this string",  # LiteLLM
        r"no models? (is |are )?(currently )?loaded|load a model|could not find .{0,20}model"
        r"|try pulling it",  # LM Studio, Ollama
        r"does not work with the specified model|access to (the )?model|not have access to (this|the"
        r"|it)",  # Azure, OpenAI
        r"^model: \S+$",  # Anthropic
    ),
)

CREDENTIALS = ErrorPattern(
    RejectionReason.CREDENTIALS,
    frozenset(
        {
            "invalid_api_key",
            "api_key_invalid",  # Gemini
            "incorrect_api_key",
            "account_deactivated",
            "invalid_authentication_error",  # Moonshot
            "no_db_connection",  # LiteLLM looks up any key but the master's
            "token_not_found_in_db",
            "invalid_token",
            "expired_api_key",
        }
    ),
    _any(
        r"(api|access|secret|subscription|auth\w*) ?key\b.{0,40}(not valid|invalid|incorrect|expired|missing"
        r"|required|revoked"
        r"|disabled|not found|wrong|denied|malformed)",  # Gemini
        r"(invalid|incorrect|wrong|missing|expired|no|malformed) (api|x-api|access|secret|subscription|bearer"
        r"|auth\w*)[ -_]?"
        r"(key|token|credentials?|header)",  # OpenAI, Groq, xAI
        r"authentication (fail|error|required|parameter|credential|token)|authentication is required",  # DeepSeek
        r"no auth credentials|user not found|no cookie auth",  # OpenRouter
        r"no connected db|provide an api key|\bunauthori[sz]ed\b",  # LiteLLM, OpenAI, Mistral
    ),
    frozenset(
        {
            "authentication_error",
            "auth_error",  # LiteLLM
            "permission_error",
            "permission_denied",  # Gemini
            "permission-denied",  # xAI
            "unauthenticated",
            "unauthorized",
        }
    ),
)

SETUP = ErrorPattern(
    RejectionReason.SETUP,
    frozenset(
        {
            "unsupported_parameter",
            "unknown_parameter",
            "unknown_url",
            "extra_forbidden",  # Mistral
            "unsupported_api_version",
            "unsupported_country_region_territory",
            "method_not_allowed",
        }
    ),
    _any(
        r"(unsupported|unrecogni[sz]ed|unknown|unexpected|invalid) (request )?(parameter|argument|field|name"
        r"|keyword|option)s?\b",
        r"extra (inputs|fields) (are )?not permitted",  # Mistral, FastAPI
        r"(property|parameter|field|argument)\b.{0,60}(unsupported|not supported|not permitted|not allowed)",  # Groq
        r"unsupported value: '(?!messages)|max_(completion_|output_)?tokens.{0,40}(too large|must be|exceed"
        r"|at most)",  # OpenAI
        r"unexpected endpoint|unknown request url|invalid url|no route|method not allowed"
        r"|unknown endpoint",  # LM Studio
        r"guardrail|data policy",  # OpenRouter, an account's settings
    ),
)

# A request larger than a whole rate limit: "Limit 12000, Requested 14137" (Groq, 413; OpenAI, 429).
LIMIT_AND_REQUESTED = re.compile(r"limit:?\s*(\d+)\D{1,40}(?:used:?\s*\d+\D{1,40})?requested:?\s*(\d+)", re.IGNORECASE)

# The server has no system role. Mistral's first templates report it as a wrong order of roles; our order is always
# right.
SYSTEM_ROLE_REFUSED = _any(
    r"(system|developer)[ _](role|message|prompt|instruction)s?\b.{0,40}(not|un)[ -]?(support|allow|enabl|accept"
    r"|permit)",
    r"(support|accept|allow)\w* (the |a )?['\"`]?(system|developer)['\"`]? ?(role|message|prompt|instruction"
    r"|with this)",
    r"roles? ?(is |are |must |should |:)?.{0,60}(not |un)(support\w*|allowed|known) .{0,10}\b(system|developer)\b",
    r"(unexpected|invalid|unknown|unsupported) (role|variant):? ?.{0,3}(system|developer)",
    r"only user(,| and) (and )?assistant|(should be|one of) \W{0,3}user\W{1,4}(or \W?)?assistant\b(?!\W{1,6}system)",
    r"roles must alternate|must alternate between",
    r"(developer|system) instruction is not",  # Gemini, for Gemma
    r"(parameter|argument|field)s?:? .{0,3}instructions\b",  # the Responses API
)

# LiteLLM appends this to every upstream message; removed before matching.
LITELLM_TAIL = re.compile(r"\.?\s*received model group=.*", re.IGNORECASE | re.DOTALL)

# Every reason but a rate limit; the narrower of two overlapping patterns comes first.
ERROR_PATTERNS = (QUOTA, TOO_MANY_IMAGES, IMAGE, IMAGES, CONTEXT, MODEL, CREDENTIALS, SETUP)


def match_reason(status: int | None, codes: frozenset[str], text: str) -> RejectionReason | None:
    """The reason for an error; None if no pattern matches."""
    text = LITELLM_TAIL.sub("", text)
    if status == 429 or (status is None and "rate_limit" in " ".join(codes)):
        return _rate_limit_reason(codes, text)
    if exceeds_rate_limit(text):
        return RejectionReason.CONTEXT
    # A broken or busy server may blame its model: "the model is not available now".
    unlikely = (MODEL, SETUP) if status is not None and status >= 500 else ()
    candidates = [pattern for pattern in ERROR_PATTERNS if pattern not in unlikely]
    return (
        next((pattern.reason for pattern in ERROR_PATTERNS if codes & pattern.codes), None)
        or next((pattern.reason for pattern in candidates if pattern.message.search(text)), None)
        or next((pattern.reason for pattern in ERROR_PATTERNS if codes & pattern.weak_codes), None)
    )


def _rate_limit_reason(codes: frozenset[str], text: str) -> RejectionReason | None:
    """A rate limit is temporary unless the account is empty or this request exceeds the whole limit."""
    if codes & QUOTA.codes or QUOTA.message.search(text):
        return RejectionReason.QUOTA
    if codes & CONTEXT.codes or exceeds_rate_limit(text) or re.search(r"request too large", text, re.IGNORECASE):
        return RejectionReason.CONTEXT
    return None


def exceeds_rate_limit(text: str) -> bool:
    """Whether the request is larger than the whole rate limit."""
    found = LIMIT_AND_REQUESTED.search(text)
    return found is not None and int(found[2][:18]) > int(found[1][:18])


def refuses_system_role(text: str) -> bool:
    """Whether an error message rejects the system role."""
    return SYSTEM_ROLE_REFUSED.search(text) is not None
