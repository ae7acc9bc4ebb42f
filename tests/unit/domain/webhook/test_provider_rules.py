"""The rules of a provider: which secrets fit, and how a new one looks."""

import base64

import pytest

from shared.domain.webhook.provider_rules import ProviderRules, new_secret, secret_problems

TEXT = ProviderRules("text")
WHSEC = ProviderRules("whsec", secret_prefixes=("whsec_",), base64_key=True)
NONE = ProviderRules("none", takes_secret=False, needs_secret=False)
OPTIONAL = ProviderRules("optional", needs_secret=False)


@pytest.mark.parametrize(
    ("rules", "secret"),
    [(TEXT, "anything at all"), (TEXT, None), (WHSEC, "whsec_AAAA"), (WHSEC, "AAAA"), (NONE, None), (OPTIONAL, None)],
)
def test_fitting_secret_has_no_problem(rules: ProviderRules, secret: str | None) -> None:
    """Text is free; base64 is read with and without its prefix; none is always fine, because one can be generated."""
    assert secret_problems(rules, secret) == []


@pytest.mark.parametrize(
    ("rules", "secret"), [(WHSEC, "whsec_"), (WHSEC, "whsec_é"), (WHSEC, "not base64"), (NONE, "anything")]
)
def test_other_secret_is_a_problem_that_does_not_show_it(rules: ProviderRules, secret: str) -> None:
    """What does not fit is pointed at with a remedy; the secret itself is not repeated."""
    (problem,) = secret_problems(rules, secret)
    assert problem.pointer == "/secret"
    assert problem.suggestion
    assert "é" not in problem.message


def test_new_secret_has_the_providers_form() -> None:
    """A generated secret would pass as a given one, and holds all the random bytes."""
    random = bytes(range(32))
    assert new_secret(WHSEC, random) == "whsec_" + base64.b64encode(random).decode()
    assert len(new_secret(TEXT, random) or "") == 43
    assert new_secret(NONE, random) is None
    assert new_secret(OPTIONAL, random) is None
