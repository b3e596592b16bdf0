"""The deployment files of several processes agree with each other, and with those of one."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence

import pytest
from yarl import URL

from adapters.http_server import HttpServer
from bot.__main__ import main
from config.journal_address import parse_journal
from tests.deploy.files import DEPLOY, container, fly, kubernetes, read_yaml, scaled, scaled_pod, service
from tests.support.paths import ROOT


def test_a_bot_alone_needs_no_database() -> None:
    """The quick start stays what it was: one bot, its file, Prometheus and Grafana."""
    assert set(read_yaml(ROOT / "compose.yaml")["services"]) == {"bot", "prometheus", "grafana"}
    assert "depends_on" not in service("bot")


def test_both_bots_and_the_migration_use_the_database_of_compose() -> None:
    """Host, user, password and name agree; the address is one that the bot accepts."""
    (address,) = {scaled(name)["environment"]["JOURNAL_URL"] for name in ("bot", "bot-2", "migrate")}
    database = scaled("postgres")["environment"]
    password = database["POSTGRES_PASSWORD"]
    parsed = URL(parse_journal(address.replace(password, "0123abcd")))
    assert address.count(password) == 1
    assert (parsed.host, parsed.user, parsed.password) == ("postgres", database["POSTGRES_USER"], "0123abcd")
    assert parsed.path == f"/{database['POSTGRES_DB']}"
    assert set(scaled("postgres")["healthcheck"]["test"]) >= {
        f"--username={parsed.user}",
        f"--dbname={parsed.path[1:]}",
    }


def test_no_bot_of_compose_starts_before_the_migration() -> None:
    """It runs once the database answers, and ends; the bots wait for its success."""
    assert scaled("migrate")["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert scaled("migrate")["command"] == ["migrate"]
    assert scaled("migrate")["restart"] == "no"
    for name in ("bot", "bot-2"):
        assert scaled(name)["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_the_bots_of_compose_are_alike() -> None:
    """They differ in the published port and in the folder of the file that only one bot alone has."""
    first, second = (dict(scaled(name)) for name in ("bot", "bot-2"))
    own = first.pop("volumes"), first.pop("ports"), second.pop("volumes"), second.pop("ports")
    assert first == second
    assert own[0] == ["data:/data", *own[2]]


@pytest.mark.sockets
@pytest.mark.quick
async def test_the_health_of_composes_bots_is_readiness() -> None:
    """`docker compose up --wait` goes on once each platform is connected; a bot that is not ready is not healthy."""
    first, *command = scaled("bot")["healthcheck"]["test"]
    assert first == "CMD"
    states = {"slack": False}
    server = HttpServer(host="127.0.0.1", port=0, ready=lambda: states, render_metrics=lambda: (b"", "text/plain"))
    port = str(URL(await server.start()).port)
    try:
        assert await exit_code(command, port) == 1
        states["slack"] = True
        assert await exit_code(command, port) == 0
    finally:
        await server.close()
    assert await exit_code(command, port) != 0


async def exit_code(command: Sequence[str], port: str) -> int:
    """Run a health check with this Python, at another port, as with a proxy."""
    arguments = [each.replace("8080", port) for each in command[1:]]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", *arguments),
        env={"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await child.wait()


def test_prometheus_sees_both_bots() -> None:
    """Its files differ in the targets alone; a bot that it does not scrape raises no alert."""
    alone, scaled_up = (read_yaml(DEPLOY / name) for name in ("prometheus.yml", "prometheus-scale.yml"))
    (before,), (after,) = (each["scrape_configs"][0].pop("static_configs") for each in (alone, scaled_up))
    assert alone == scaled_up
    assert after["targets"] == [*before["targets"], before["targets"][0].replace("bot", "bot-2")]
    mounted = [each.split(":")[0] for each in scaled("prometheus")["volumes"]]
    assert "./config/deploy/prometheus-scale.yml" in mounted
    assert "./config/deploy/prometheus.yml" not in mounted


def test_kubernetes_replaces_one_process_after_the_other() -> None:
    """A new one is ready before an old one stops, and an eviction takes one at a time."""
    spec = kubernetes("Deployment", "kubernetes-scale.yaml")["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert kubernetes("PodDisruptionBudget", "kubernetes-scale.yaml")["spec"]["maxUnavailable"] == 1


def test_kubernetes_migrates_before_each_process() -> None:
    """By the same image and the same secret as the process; a volume would belong to one machine."""
    (migration,), (process,) = scaled_pod()["initContainers"], scaled_pod()["containers"]
    assert migration["args"] == ["migrate"]
    assert (migration["image"], migration["envFrom"]) == (process["image"], process["envFrom"])
    assert all("emptyDir" in each for each in scaled_pod()["volumes"])


def test_the_process_is_the_same_in_one_and_in_three() -> None:
    """Both files of Kubernetes differ in the journal's address, and in what follows from it."""
    alone, (one_of_three,) = dict(container()), map(dict, scaled_pod()["containers"])
    variables = alone.pop("env")
    assert one_of_three.pop("env") == [each for each in variables if each["name"] != "JOURNAL_URL"]
    assert alone == one_of_three
    assert kubernetes("Service") == kubernetes("Service", "kubernetes-scale.yaml")


def test_every_host_runs_the_migration_as_a_command_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Fly gives it to the image's entry point, and the Procfile is a shell's line."""
    assert main([fly()["deploy"]["release_command"], "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: tickertape migrate")
    release = re.search(r"^release: (.+)$", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert release is not None
    assert release[1] == "python -m bot migrate"
