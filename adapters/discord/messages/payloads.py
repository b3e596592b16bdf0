"""Request bodies for discord.py's HTTP client: JSON alone, or with files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import discord
from discord.http import MultipartParameters

PINGS_NOBODY = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=False)


class FileToSend(Protocol):
    """A file of a message."""

    @property
    def name(self) -> str:
        """File name."""
        ...

    @property
    def data(self) -> bytes:
        """Content."""
        ...


def request_body(
    payload: Mapping[str, Any], files: Sequence[FileToSend] = (), *, inner: str = ""
) -> MultipartParameters:
    """A body with or without files.

    https://docs.discord.com/developers/reference#uploading-files: the JSON is one part and names each file by number,
    in the message itself or in its field `inner`.
    """
    if not files:
        return MultipartParameters(payload=dict(payload), multipart=None, files=None)
    created = [discord.File(io.BytesIO(file.data), filename=file.name) for file in files]
    listed = {"attachments": [file.to_dict(number) for number, file in enumerate(created)]}
    whole = {**payload, inner: {**payload[inner], **listed}} if inner else {**payload, **listed}
    parts: list[dict[str, Any]] = [{"name": "payload_json", "value": json.dumps(whole)}]
    for number, file in enumerate(created):
        kind = "text/plain; charset=utf-8"
        parts.append({"name": f"files[{number}]", "value": file.fp, "filename": file.filename, "content_type": kind})
    return MultipartParameters(payload=None, multipart=parts, files=created)
