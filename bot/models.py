"""The operator's models: their names in chat, their labels and their capabilities. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of the operator's list.

    `name` is chosen in chat and is a `Prompt.model`; `label` is shown to people; `server_name` is the server's name.
    `context` is the longest prompt and answer together, in tokens; 0 if unknown.
    """

    name: str
    label: str
    server_name: str
    images: bool = True
    context: int = 0


# The only model of a bot without a list.
UNNAMED = ModelInfo("", "the model", "")


class ModelCatalog:
    """All models of the operator, the default one first. Iterates over them in that order."""

    def __init__(self, models: Sequence[ModelInfo]) -> None:
        self._models = tuple(models)
        self._by_name = {model.name: model for model in self._models}

    def __iter__(self) -> Iterator[ModelInfo]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default(self) -> ModelInfo:
        """The model of every turn without a choice."""
        return self._models[0]

    def find(self, name: str) -> ModelInfo | None:
        """The model of this exact name, the default one for an empty name; None if the list has none."""
        return self._by_name.get(name) if name else self.default

    def label(self, name: str) -> str:
        """The label of a model; the name itself if the list has none."""
        found = self.find(name)
        return name if found is None else found.label

    def server_name(self, name: str) -> str:
        """A model's name at its server; the name itself if the list has none."""
        found = self.find(name)
        return name if found is None else found.server_name

    def takes_images(self, name: str) -> bool:
        """Whether a model is configured for images; a name outside the list is one of the default model's server."""
        return (self.find(name) or self.default).images

    def contexts(self) -> dict[str, int]:
        """The known contexts by name, the default model's by the empty name too."""
        known = {model.name: model.context for model in self._models if model.context}
        return known | ({"": self.default.context} if self.default.context else {})
