"""`python -m tests.golden`: which golden files differ; with `--write`, make them anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.golden import FOLDER, PLATFORMS, answer, golden, names, rendered


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where a file differs and is not written."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the files anew")
    write = parser.parse_args(arguments).write
    wanted = {
        golden(name, platform): rendered(answer(name), surface)
        for name in names()
        for platform, surface in PLATFORMS.items()
    }
    there = {path for platform in PLATFORMS for path in FOLDER.glob(f"*.{platform}")}
    differing = sorted(path for path, text in wanted.items() if path not in there or path.read_text() != text)
    left = sorted(there - wanted.keys())
    for path in [*differing, *left]:
        sys.stdout.write(f"{path.name}\n")
    if not write:
        return 1 if differing or left else 0
    for path in differing:
        path.write_text(wanted[path])
    for path in left:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
