"""The deployment files agree with the program's settings, and with each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.docs import catalog
from config.settings import Settings
from config.sources import OTHER_VARIABLES
from tests.deploy.files import (
    DEPLOY,
    SCALED,
    container,
    fly,
    image_environment,
    kubernetes,
    only,
    pod,
    read_yaml,
    scaled,
    scaled_pod,
    service,
)
from tests.support.paths import ROOT

# Variables of Python, the shell, Compose, and the images of Grafana and PostgreSQL; all others must be settings.
FOREIGN = re.compile(r"PATH|PYTHON\w*|GF_\w+|GRAFANA_PASSWORD|POSTGRES_\w+|COMPOSE_FILE")

# The last writes, and closing the clients, after the drain (bot/lifecycle.py).
AFTER_THE_DRAIN = 5.0

# Heroku's time from SIGTERM to SIGKILL: https://devcenter.heroku.com/articles/dyno-shutdown-behavior
HEROKU_SECONDS = 30.0


def unit(key: str) -> str:
    """The value of a key in the systemd unit."""
    (found,) = re.findall(rf"^{key}=(.*)$", (DEPLOY / "tickertape.service").read_text(encoding="utf-8"), re.MULTILINE)
    return str(found)


def graces() -> Iterator[tuple[str, float]]:
    """Seconds from the stop signal to SIGKILL, by host."""
    for name in ("bot", "bot-2"):
        yield f"compose {name}", float(scaled(name)["stop_grace_period"].removesuffix("s"))
    yield "kubernetes", float(pod()["terminationGracePeriodSeconds"])
    yield "kubernetes-scale", float(scaled_pod()["terminationGracePeriodSeconds"])
    yield "fly", float(fly()["kill_timeout"])
    yield "systemd", float(unit("TimeoutStopSec"))
    yield "heroku", HEROKU_SECONDS


def test_every_host_waits_longer_than_the_drain() -> None:
    """No answer is cut by SIGKILL while it may still be finished."""
    needed = Settings().turns.drain_seconds + AFTER_THE_DRAIN
    assert not [(host, seconds) for host, seconds in graces() if seconds < needed]


def test_every_host_sends_the_signal_that_starts_the_drain() -> None:
    """Fly's default is another; Docker's is the image's; systemd's and Kubernetes' are SIGTERM or the image's."""
    assert only("STOPSIGNAL").text == fly()["kill_signal"] == "SIGTERM"
    assert "stop_signal" not in service("bot")


def test_every_file_means_the_same_port() -> None:
    """The port of the image is the one that probes, proxies and Prometheus use."""
    port = image_environment()["PORT"]
    assert service("bot")["environment"]["PORT"] == port
    assert [each.rsplit(":", maxsplit=1)[1] for each in service("bot")["ports"]] == [port]
    assert [str(each["containerPort"]) for each in container()["ports"]] == [port]
    assert {each["name"]: each.get("value") for each in container()["env"]}["PORT"] == port
    assert {str(each["port"]) for each in (fly()["metrics"], *fly()["checks"].values())} == {port}
    assert str(fly()["http_service"]["internal_port"]) == port
    (scraped,) = read_yaml(DEPLOY / "prometheus.yml")["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"bot:{port}"]}]


def test_the_journal_is_on_the_volume_of_each_host() -> None:
    """What the image declares as its volume is what each host keeps."""
    (volume,) = only("VOLUME").command()
    assert f"data:{volume}" in service("bot")["volumes"]
    assert volume in [each["mountPath"] for each in container()["volumeMounts"] if each["name"] == "data"]
    assert [each["destination"] for each in fly()["mounts"]] == [volume]
    for variables in (service("bot")["environment"], {each["name"]: each["value"] for each in container()["env"]}):
        assert variables["JOURNAL_URL"] == image_environment()["JOURNAL_URL"]


def named_variables() -> Iterator[tuple[str, str]]:
    """Every variable in the deployment files, with the file."""
    for name in image_environment():
        yield "Dockerfile", name
    for each in SCALED:
        for name in scaled(each)["environment"]:
            yield "compose.yaml", name
    for each in container()["env"]:
        yield "kubernetes.yaml", each["name"]
    for name in re.findall(r"\b([A-Z][A-Z_]+)=", (ROOT / "Procfile").read_text(encoding="utf-8")):
        yield "Procfile", name
    for file in [*DEPLOY.rglob("*.*"), *ROOT.glob("compose*.yaml"), ROOT / "Dockerfile"]:
        for name in re.findall(r"\bTICKERTAPE_[A-Z_]+[A-Z]\b", file.read_text(encoding="utf-8")):
            yield file.name, name


def test_every_variable_is_a_setting() -> None:
    """A deployment file names no variable of ours that the bot does not know, but for the one that it keeps out."""
    known = {one.variable for one in catalog()} | OTHER_VARIABLES | {"TICKERTAPE_SERVICE_HOST"}
    named = set(named_variables())
    assert {file for file, _ in named} >= {"Dockerfile", "Procfile", "compose.yaml", "kubernetes.yaml", "fly.toml"}
    assert not [(file, name) for file, name in named if name not in known and not FOREIGN.fullmatch(name)]


def test_kubernetes_adds_no_variables() -> None:
    """The Service has the program's name, so the variables of service links would be refused as unknown settings."""
    assert kubernetes("Service")["metadata"]["name"] == "tickertape"
    assert pod()["enableServiceLinks"] is False


def test_one_process_owns_the_journal() -> None:
    """No host starts a second process beside the first, nor stops the only one while nobody asks."""
    assert kubernetes("Deployment")["spec"]["replicas"] == 1
    assert kubernetes("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert fly()["deploy"]["strategy"] == "rolling"
    assert fly()["http_service"]["auto_stop_machines"] == "off"
    assert fly()["http_service"]["min_machines_running"] == 1


def test_an_outage_of_one_platform_keeps_the_other_platforms_requests() -> None:
    """What routes requests to the bot, or restarts it, asks /healthz; /readyz informs people alone."""
    assert (
        container()["livenessProbe"]["httpGet"]["path"] == container()["startupProbe"]["httpGet"]["path"] == "/healthz"
    )
    assert container()["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert kubernetes("Service")["spec"]["publishNotReadyAddresses"] is True
    assert {each["path"] for each in fly()["http_service"]["checks"]} == {"/healthz"}
    assert {each["path"] for each in fly()["checks"].values()} == {"/readyz"}


def test_containers_have_no_privileges() -> None:
    """A read-only root file system, no capabilities and no way to more, in compose and in Kubernetes alike."""
    for name in SCALED:
        assert scaled(name)["read_only"] is True
        assert scaled(name)["cap_drop"] == ["ALL"]
        assert scaled(name)["security_opt"] == ["no-new-privileges:true"]
    user, group = map(int, only("USER").text.split(":"))
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for each in (container(), *scaled_pod()["containers"], *scaled_pod()["initContainers"]):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_this_machine_reaches_what_compose_publishes() -> None:
    """Neither the bot's port nor Prometheus nor Grafana listens to the network, and Grafana has no known password."""
    for name in SCALED:
        assert all(each.startswith("127.0.0.1:") for each in scaled(name).get("ports", ()))
    published = [each.split(":")[1] for name in SCALED for each in scaled(name).get("ports", ())]
    assert len(set(published)) == len(published)
    assert service("grafana")["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")


def test_every_image_has_a_version() -> None:
    """No image is whatever is newest today, but for the one built here."""
    images = [service(name)["image"] for name in ("prometheus", "grafana")] + [container()["image"]]
    assert all(re.fullmatch(r".+:v?\d+\.\d+\.\d+", image) for image in images)
    assert re.fullmatch(r"postgres:\d+\.\d+", scaled("postgres")["image"])
    for name in ("bot", "bot-2", "migrate"):
        assert scaled(name)["build"] == "."
        assert "image" not in scaled(name)


@pytest.mark.parametrize("read", [service, scaled])
@pytest.mark.parametrize("name", ["bot", "prometheus", "grafana"])
def test_every_file_that_compose_mounts_is_there(name: str, read: Callable[[str], Mapping[str, Any]]) -> None:
    """Docker makes a folder of a file that is missing, and the container fails with a riddle."""
    mounted = [each.split(":")[0] for each in read(name)["volumes"] if each.startswith("./")]
    assert mounted
    assert all((ROOT / Path(each)).exists() for each in mounted)
