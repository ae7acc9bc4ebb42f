"""URLs of signals in parameters: placeholders until an effect is performed."""

from __future__ import annotations

import pytest

from shared.domain.expressions.signal_urls import masked, revealed, signal_named, signal_names

PARAMETERS = {
    "to": "{% $trigger.body.to %}",
    "blocks": [{"text": "Yes: {% $execution.signal_urls.ok %}?a=1, {% $trigger.body.x %}"}, "{% $execution.id %}"],
    "url": " {% $execution.signal_urls.`my-name` %} ",
}


def test_masked_parameters_have_placeholders_beside_other_expressions() -> None:
    """In lists and among other texts."""
    assert masked(PARAMETERS) == {
        "to": "{% $trigger.body.to %}",
        "blocks": [{"text": "Yes: [signal_url:ok]?a=1, {% $trigger.body.x %}"}, "{% $execution.id %}"],
        "url": "[signal_url:my-name]",
    }
    assert list(signal_names(PARAMETERS)) == ["ok", "my-name"]


def test_urls_are_put_in_wherever_their_placeholders_are() -> None:
    """And those of other signals are not."""
    given = {"a": ["x [signal_url:ok]", 1], "b": "[signal_url:other]"}
    assert revealed(given, {"ok": "https://u"}) == {"a": ["x https://u", 1], "b": "[signal_url:other]"}


@pytest.mark.parametrize(
    "source",
    ["$execution.signal_urls", "$execution.signal_urls.a.b", "$execution.signal_urls.a & '?'", "$execution.id", "$x.a"],
)
def test_expression_that_does_more_is_no_url(source: str) -> None:
    """Only the URL as it is."""
    assert signal_named(source) is None
