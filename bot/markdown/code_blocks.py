"""Code blocks of a text as files: offset, plain code, and file extension.

Fences follow the splitter's rules. `bot.delivery.overflow` chooses the blocks to upload.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from bot.markdown.fences import Fence, closes_fence, fence_changes, next_line_start

# Characters read in one step. Lines of three characters, the worst case, take a few milliseconds.
STEP = 4_000

T = TypeVar("T")

# Extensions by language word, where they differ. A word that looks like an extension is used as one; any other gives
# plain text.
_EXTENSIONS = MappingProxyType(
    {
        "python": "py",
        "python3": "py",
        "py3": "py",
        "javascript": "js",
        "node": "js",
        "mjs": "mjs",
        "typescript": "ts",
        "bash": "sh",
        "shell": "sh",
        "zsh": "sh",
        "console": "txt",
        "golang": "go",
        "rust": "rs",
        "c++": "cpp",
        "cplusplus": "cpp",
        "c#": "cs",
        "csharp": "cs",
        "f#": "fs",
        "fsharp": "fs",
        "objective-c": "m",
        "objectivec": "m",
        "objc": "m",
        "ruby": "rb",
        "perl": "pl",
        "haskell": "hs",
        "elixir": "ex",
        "erlang": "erl",
        "clojure": "clj",
        "kotlin": "kt",
        "julia": "jl",
        "matlab": "m",
        "ocaml": "ml",
        "powershell": "ps1",
        "pwsh": "ps1",
        "batch": "bat",
        "yml": "yaml",
        "markdown": "md",
        "mdx": "mdx",
        "patch": "diff",
        "docker": "dockerfile",
        "make": "mk",
        "makefile": "mk",
        "latex": "tex",
        "terraform": "tf",
        "protobuf": "proto",
        "assembly": "asm",
        "nasm": "asm",
        "vue": "vue",
        "text": "txt",
        "plain": "txt",
        "plaintext": "txt",
        "jsonc": "json",
        "json5": "json5",
        "postgresql": "sql",
        "mysql": "sql",
        "sqlite": "sql",
        "plsql": "sql",
        "tsql": "sql",
        "svg": "svg",
        "rs": "rs",
        "visualbasic": "vb",
        "vbnet": "vb",
        "vim": "vim",
        "viml": "vim",
        "scheme": "scm",
        "common-lisp": "lisp",
        "fortran": "f90",
        "pascal": "pas",
        "solidity": "sol",
        "graphql": "graphql",
        "mermaid": "mmd",
    }
)

# These are their own extension.
_OWN = frozenset(
    """py js ts tsx jsx sh go rs java c h cpp hpp cs rb php sql html css scss less sass json yaml toml xml md diff
    dockerfile txt csv tsv ini cfg conf env lua r swift kt scala dart pl hs ex exs erl clj jl ml fs m mm vb asm bat ps1
    tex tf proto gradle groovy nix zig sol nim v lisp el scm awk sed svg rst vue svelte hcl mk fish ipynb log properties
    graphql mmd""".split()  # noqa: SIM905 (a list of words)
)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block of code, as offsets into the text.

    The opening fence is on the line at `opening_line`. The code runs from `start` to `end`. `next_line` is the offset
    behind the closing fence, or behind the last line of the quote around the block. `is_closed` is false if the text
    ends inside the block.
    """

    fence: Fence
    opening_line: int
    start: int
    end: int
    next_line: int
    is_closed: bool

    def code(self, text: str) -> str:
        """The block's lines without the prefix of their list or quote."""
        return run_steps(self.code_in_steps(text))

    def code_in_steps(self, text: str) -> Generator[None, None, str]:
        """The same, a step at a time."""
        if not self.fence.prefix:
            return text[self.start : self.end]
        parts: list[str] = []
        start = self.start
        while start < self.end:
            stop = min(next_line_start(text, min(start + STEP, self.end)), self.end)
            lines = text[start:stop].split("\n")
            parts.append("\n".join(_bare(line, self.fence.prefix) for line in lines))
            start = stop
            yield
        return "".join(parts)

    @property
    def extension(self) -> str:
        """The extension for a file with this code."""
        return extension_of(self.fence.info)


def extension_of(language: str) -> str:
    """The extension of a language as it is named behind a fence: ``python``, ``{.python}``, ``rust,no_run``."""
    word = language.strip("{}. ").lower().split(",")[0].split("{")[0].split(":")[0].removeprefix("language-")
    return _EXTENSIONS.get(word) or (word if word in _OWN else "txt")


def find_code_blocks(text: str) -> list[CodeBlock]:
    """All blocks of code, in order. The cost is in proportion to the text."""
    return run_steps(find_code_blocks_in_steps(text))


def find_code_blocks_in_steps(text: str) -> Generator[None, None, list[CodeBlock]]:
    """The same, a step at a time."""
    found: list[CodeBlock] = []
    opened: tuple[int, Fence] | None = None
    start = 0
    while start < len(text):
        stop = next_line_start(text, min(start + STEP, len(text)))
        for at, fence in fence_changes(text[start:stop], opened[1] if opened else None):
            if opened is not None:
                found.append(_block(text, *opened, start + at))
            opened = None if fence is None else (start + at, fence)
        start = stop
        yield
    if opened is not None:
        found.append(_block(text, *opened, None))
    return found


def run_steps(steps: Generator[None, None, T]) -> T:
    """Run all steps at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def _block(text: str, opening_line: int, fence: Fence, end: int | None) -> CodeBlock:
    start = next_line_start(text, opening_line)
    if end is None:
        return CodeBlock(fence, opening_line, start, len(text), len(text), is_closed=False)
    behind = next_line_start(text, end)
    next_line = behind if closes_fence(text[end:behind].rstrip("\n"), fence) else end
    return CodeBlock(fence, opening_line, start, end, next_line, is_closed=True)


def _bare(line: str, prefix: str) -> str:
    """A line without its part of `prefix`."""
    at = 0
    for character in prefix:
        if character == ">":
            marked = line.find(">", at, at + 4)
            if marked == -1 or line[at:marked].strip():
                break
            at = marked + 1
        elif at < len(line) and line[at] in " \t":
            at += 1
    return line[at:]
