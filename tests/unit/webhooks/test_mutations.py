"""Whatever is done to a valid delivery: never accepted, never an exception."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks.catalog import provider_ids
from shared.webhooks.delivery import Delivery
from shared.webhooks.encodings import DECODERS
from shared.webhooks.identity import delivery_key, event_type
from shared.webhooks.provider import Provider
from shared.webhooks.verification import verify
from tests.unit.webhooks.builders import good

anything = st.text(st.characters(exclude_categories=()), max_size=80)


def covered(provider: Provider, name: str) -> bool:
    """Whether a header carries the signature or is signed."""
    places = [provider.scheme.signature.place, provider.scheme.timestamp and provider.scheme.timestamp.place]
    return f"header:{name}" in [(place or "").lower() for place in places] or provider.scheme.signs(f"header:{name}")


def same_signature(provider: Provider, before: str, after: str) -> bool:
    """Whether two texts carry the same digests: hex in another case, or a list with something beside it."""
    signature = provider.scheme.signature

    def digests(text: str) -> set[bytes]:
        items = text.split(signature.separator) if signature.format == "list" else [text]
        written = (item.strip() for item in items)
        bare = (item.removeprefix(signature.prefix) for item in written if item.startswith(signature.prefix))
        return {digest for item in bare if (digest := DECODERS[signature.encoding](item))}

    return bool(digests(before) & digests(after))


@pytest.mark.parametrize("provider_id", provider_ids())
@given(data=st.data())
def test_a_changed_body_is_refused(provider_id: str, data: st.DataObject) -> None:
    """No body but the signed one is accepted."""
    provider, delivery, vector = good(provider_id)
    body = data.draw(st.one_of(st.binary(max_size=200), st.just(delivery.body + b" "), st.just(delivery.body[:-1])))
    verification = verify(provider.scheme, replace(delivery, body=body), [vector["secret"]], vector["now"])
    assert verification.accepted is (body == delivery.body)


@pytest.mark.parametrize("provider_id", provider_ids())
@given(data=st.data())
def test_a_changed_header_is_refused(provider_id: str, data: st.DataObject) -> None:
    """A signed header replaced, cut, doubled, re-cased or gone is never accepted; others may change."""
    provider, delivery, vector = good(provider_id)
    name = data.draw(st.sampled_from(sorted(delivery.headers)))
    before = delivery.headers[name]
    place = data.draw(st.integers(0, len(before)))
    flipped = before[:place] + data.draw(anything) + before[place + 1 :]
    after = data.draw(
        st.one_of(
            st.none(),
            anything,
            st.just(flipped),
            st.just(f"{before},{before}"),
            st.just(before.swapcase()),
            st.just(before[::-1]),
            st.just(before * 200),
        )
    )
    headers = {n: v for n, v in delivery.headers.items() if n != name} | ({} if after is None else {name: after})
    changed = replace(delivery, headers=headers)
    accepted = verify(provider.scheme, changed, [vector["secret"]], vector["now"]).accepted
    delivery_key(provider, changed, "0" * 64, None)
    event_type(provider, changed)
    if after == before or not covered(provider, name):
        assert accepted
    elif f"header:{name}" == provider.scheme.signature.place.lower() and after is not None:
        assert not accepted or same_signature(provider, before, after)
    else:
        assert not accepted


@pytest.mark.parametrize("provider_id", provider_ids())
@given(secret=anything)
def test_another_secret_is_refused(provider_id: str, secret: str) -> None:
    """Only the webhook's own secret verifies, with or without its prefix."""
    provider, delivery, vector = good(provider_id)
    prefix = provider.scheme.key_prefix
    accepted = verify(provider.scheme, delivery, [secret], vector["now"]).accepted
    assert accepted is (secret.removeprefix(prefix) == vector["secret"].removeprefix(prefix))


@given(body=st.binary(max_size=300))
def test_reading_a_verified_body_never_fails(body: bytes) -> None:
    """Bytes that are no JSON have no type and no id, and that is all."""
    for provider_id in provider_ids():
        provider, delivery, _ = good(provider_id)
        found = Delivery("POST", delivery.headers, body)
        event_type(provider, found)
        delivery_key(provider, found, "0" * 64, None)
