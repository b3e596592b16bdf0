"""The image: the Dockerfile and its build context."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from yarl import URL

from adapters.http_server import HttpServer
from tests.deploy.files import (
    dockerfile,
    dockerignore,
    final_stage,
    image_environment,
    is_ignored,
    only,
    read_toml,
    run_tool,
)
from tests.support.paths import ROOT


def test_the_linter_finds_nothing() -> None:
    """Hadolint has no remark, whatever its level."""
    result = run_tool("hadolint", ROOT / "Dockerfile")
    assert not result.stdout + result.stderr
    assert result.returncode == 0


def test_the_linter_runs() -> None:
    """It refuses an image without a version, so its silence means something."""
    result = run_tool("hadolint", "-", text="FROM python:latest\nRUN cd /tmp\n")
    assert "DL3007" in result.stdout
    assert result.returncode != 0


def test_python_is_one_that_the_project_supports() -> None:
    """Both stages have the same pinned Python, of a version in pyproject.toml."""
    (argument,) = [each.text for each in dockerfile() if each.name == "ARG"]
    version = argument.removeprefix("PYTHON=").split("-", maxsplit=1)[0]
    assert version in SpecifierSet(read_toml(ROOT / "pyproject.toml")["project"]["requires-python"])
    assert argument.endswith(("-slim-trixie", "-slim-bookworm"))
    assert {each.words()[0] for each in dockerfile() if each.name == "FROM"} == {"python:${PYTHON}"}


def test_python_receives_the_stop_signal() -> None:
    """No shell is process 1: the entry point is in exec form, and SIGTERM starts the drain."""
    assert only("ENTRYPOINT").command() == ["python", "-m", "bot"]
    assert only("STOPSIGNAL").text == "SIGTERM"


def test_the_image_has_no_privileges() -> None:
    """It ends as a numbered user, recognised by Kubernetes as not root, and no later instruction needs root."""
    user, group = only("USER").text.split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    after = final_stage()[final_stage().index(only("USER")) :]
    assert not {each.name for each in after} & {"RUN", "COPY", "ADD"}


def test_everything_written_is_on_the_volume() -> None:
    """The journal and the working directory are on the one volume, and Python writes no bytecode."""
    (volume,) = only("VOLUME").command()
    assert only("WORKDIR").text == volume
    assert image_environment()["JOURNAL_URL"].startswith(f"sqlite:///{volume}/")
    assert image_environment()["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_image_serves_its_own_port_only() -> None:
    """Probes from outside reach the port; the page, where every visitor spends the key, is off."""
    assert only("EXPOSE").text == image_environment()["PORT"] == "8080"
    assert image_environment()["TICKERTAPE_HOST"] == "0.0.0.0"
    assert image_environment()["TICKERTAPE_PLAYGROUND"] == "off"


def test_packages_come_from_the_lock() -> None:
    """Each package is installed by its hash, and nothing is compiled."""
    (install,) = [each.text for each in dockerfile() if "pip install" in each.text]
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".env.production", "config/.env", "bot/.env.local", "config/tickertape.toml", ".git/config"),
        *("tickertape.db", "tickertape-records.db-wal", "config/tickertape.db", "bot/journal.sqlite3"),
        *(".venv/bin/python", "tests/conftest.py", "bot/__pycache__/x.pyc", "config/deploy/kubernetes.yaml"),
    ],
)
def test_secrets_and_leftovers_stay_out(path: str) -> None:
    """Neither secrets nor journals nor the repository's history reach the build."""
    assert is_ignored(path, dockerignore())


def test_the_program_goes_in() -> None:
    """All sources of the Dockerfile's COPY are there, with the files beside the modules."""
    copied = [each for each in dockerfile() if each.name == "COPY" and "--from" not in each.text]
    sources = {source for each in copied for source in each.words()[:-1]}
    assert {name.removeprefix("!") for name in dockerignore() if name.startswith("!")} == sources
    inside = ["bot/__main__.py", "adapters/slack/platform.py", "config/slack-manifest.yaml", "config/system_prompt.md"]
    for path in [*inside, "requirements.txt"]:
        assert (ROOT / path).is_file()
        assert not is_ignored(path, dockerignore())


@pytest.mark.slow
@pytest.mark.parametrize(("safe", "starts"), [(image_environment().get("PYTHONSAFEPATH", ""), True), ("", False)])
def test_the_volume_holds_no_code(tmp_path: Path, safe: str, *, starts: bool) -> None:
    """Python files in the working directory, where compose.yaml mounts the folder of settings, are never imported."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "__init__.py").write_text("raise SystemExit(3)\n")
    command = [sys.executable, *only("ENTRYPOINT").command()[1:], "--version"]
    variables = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": safe}
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=False)
    assert result.returncode == (0 if starts else 3)


@pytest.mark.sockets
@pytest.mark.quick
async def test_the_health_check_tells_a_running_bot_from_none() -> None:
    """It succeeds while the port answers and fails when nothing listens, also with a proxy in the environment."""
    server = HttpServer(host="127.0.0.1", port=0, ready=dict, render_metrics=lambda: (b"", "text/plain"))
    port = URL(await server.start()).port
    try:
        assert await health(port) == 0
    finally:
        await server.close()
    assert await health(port) == 1


async def health(port: int | None) -> int:
    """Run the health check as Docker does; returns its exit code."""
    _, *arguments = only("HEALTHCHECK").command()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", *arguments),
        env={"PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await child.wait()
