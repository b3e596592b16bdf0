"""The operator's list of models, as chat sees it."""

from __future__ import annotations

from bot.models import ModelCatalog, ModelInfo

MAIN = ModelInfo("gpt-6", "gpt-6", "gpt-6")
FAST = ModelInfo("fast", "Fast and cheap", "qwen3-8b", images=False, context=32_768)
CATALOG = ModelCatalog((MAIN, FAST))


def test_the_first_model_is_the_default_and_an_unknown_one_has_its_name_for_a_label() -> None:
    """An empty name means the default model; a name outside the list is shown as it is."""
    assert CATALOG.default is MAIN
    assert CATALOG.find("") is MAIN
    assert CATALOG.find("gone") is None
    assert [CATALOG.label(name) for name in ("fast", "", "gone")] == ["Fast and cheap", "gpt-6", "gone"]
    assert [CATALOG.server_name(name) for name in ("fast", "", "gone")] == ["qwen3-8b", "gpt-6", "gone"]
    assert (list(CATALOG), len(CATALOG)) == ([MAIN, FAST], 2)


def test_the_capabilities_of_a_model_outside_the_list_are_the_default_ones() -> None:
    """A channel's raw name is asked at the main server, configured for images or not as the main model is."""
    assert [CATALOG.takes_images(name) for name in ("", "gpt-6", "fast", "raw")] == [True, True, False, True]
    assert CATALOG.contexts() == {"fast": 32_768}
    assert ModelCatalog((FAST,)).contexts() == {"fast": 32_768, "": 32_768}
