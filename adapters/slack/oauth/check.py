"""Checks of installations, for ``tickertape check``: the app's credentials, and the keys of stored tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from adapters.shared.diagnostics import CheckResult
from adapters.slack.check_http import RequestUrlToCheck, check_http
from adapters.slack.errors import code_of
from adapters.slack.oauth.api import BAD_CODE, WRONG_APP, OAuthApi
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.options import SlackOptions
from adapters.slack.web_api import WebApi
from bot.errors import Failure

APP, KEYS = "Slack app", "Slack installations"  # the subjects
APP_FIX = "https://api.slack.com/apps > your app > Basic Information: copy Client ID and Client Secret"
# No code of Slack's: it refuses the code only after it has accepted the credentials.
INVENTED_CODE = "tickertape-check"


async def check_oauth(options: OAuthOptions, slack: SlackOptions, way: RequestUrlToCheck) -> list[CheckResult]:
    """Try the app's credentials, and the way of Slack's requests. Never raises, and installs nothing."""
    api, web = OAuthApi(options), WebApi(slack)
    try:
        results = [await _check_app(api)]
        page = CheckResult(APP, ok=True, message=f"workspaces install it at {options.install_url}")
        return [*results, page, *await check_http(slack, web, way)]
    finally:
        await api.close()
        await web.close()


async def _check_app(api: OAuthApi) -> CheckResult:
    try:
        await api.exchange(INVENTED_CODE)
    except Failure as failure:
        code = code_of(failure)
        if code == "bad_redirect_uri":
            fix = "paste the output of `tickertape manifest --http ... --oauth` into App Manifest"
            return CheckResult(APP, ok=False, message="does not allow the redirect to TICKERTAPE_PUBLIC_URL", fix=fix)
        if code in BAD_CODE:
            return CheckResult(APP, ok=True, message="Slack accepts the client id and its secret")
        if code in WRONG_APP:
            return CheckResult(APP, ok=False, message=f"Slack refuses the credentials: {failure}", fix=APP_FIX)
        return CheckResult(APP, ok=False, message=f"Slack cannot be asked: {failure}", fix="see the network")
    return CheckResult(APP, ok=False, message="something else than Slack answers", fix="see SLACK_API_URL")


def key_results(counts: Mapping[str, int], known: Collection[str], newest: str) -> list[CheckResult]:
    """Tell how many installations there are, and of how many the key is missing or old.

    `counts` are installations by the name of their key, `known` the names of our keys.
    """
    missing = sum(count for name, count in counts.items() if name not in known)
    older = sum(count for name, count in counts.items() if name in known and name != newest)
    results = [CheckResult(KEYS, ok=True, message=f"{sum(counts.values())} in the database")]
    if missing:
        message = f"the tokens of {missing} cannot be decrypted"
        results.append(CheckResult(KEYS, ok=False, message=message, fix="add their key to TICKERTAPE_SECRETS"))
    if older:
        message = f"the tokens of {older} still need an older key of TICKERTAPE_SECRETS; the running bot replaces it"
        results.append(CheckResult(KEYS, ok=True, message=message, warning=True))
    return results
