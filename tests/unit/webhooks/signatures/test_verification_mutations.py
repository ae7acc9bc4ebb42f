"""Whatever is done to a valid delivery of any provider: never accepted, never an exception."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.intake.delivery_key import delivery_key, event_type
from shared.webhooks.intake.diagnosis import diagnose
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.catalog import provider_ids
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.comparison import keys_of, written
from shared.webhooks.signatures.encodings import DECODERS
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import good, verdict

# Many providers share these few examples; each has a scheme that others have too.
few = settings(max_examples=20, deadline=None)
anything = st.text(st.characters(exclude_categories=()), max_size=80)


def covered(provider: Provider, name: str) -> bool:
    """Whether a header carries the signature or is signed."""
    scheme = provider.scheme
    places = [
        *(scheme.signature.places if scheme.signature else ()),
        scheme.timestamp.place if scheme.timestamp else "",
    ]
    equal = [word.text for content in scheme.contents for word, _ in content.equal]
    named = {each.partition("|")[0].lower() for each in (*places, *equal)}
    return f"header:{name}" in named or scheme.signs(f"header:{name}")


def proofs(provider: Provider, text: str, delivery: Delivery) -> set[tuple[str | None, bytes]]:
    """The digests in a signature's text, each with the timestamp beside it."""
    scheme, facts = provider.scheme, SignatureContext(delivery)
    assert scheme.signature is not None
    decode = DECODERS.get(scheme.signature.encoding, lambda text: text.encode("utf-8", "surrogatepass"))
    digests = [decode(each) for each in written(scheme.signature, text, facts)]
    inside = scheme.timestamp is not None and scheme.timestamp.from_signature
    timestamp = scheme.timestamp.source.as_text(facts) if inside and scheme.timestamp else None
    return {(timestamp, digest) for digest in digests if digest}


def is_canonical(provider: Provider) -> bool:
    """Whether the body is signed as what it says, so that space around it changes nothing."""
    texts = [getattr(part, "text", "") for each in provider.scheme.contents for part in each.template.parts]
    return provider.scheme.kind == "jwt" or "body|sorted_json" in texts


@pytest.mark.parametrize("provider_id", provider_ids())
@few
@given(data=st.data())
def test_a_changed_body_is_refused(provider_id: str, data: st.DataObject) -> None:
    """No body but the signed one is accepted, where the provider signs it; and no body is an exception."""
    provider, delivery, vector = good(provider_id)
    body = data.draw(st.one_of(st.binary(max_size=200), st.just(delivery.body + b" "), st.just(delivery.body[:-1])))
    changed = replace(delivery, body=body, claims={}, protected={})
    accepted = verdict(provider, changed, vector).accepted
    delivery_key(provider, changed, "0" * 64, None)
    event_type(provider, changed)
    if body == delivery.body:
        assert accepted
    elif provider.scheme.signs("body") and not (body.strip() == delivery.body and is_canonical(provider)):
        assert not accepted


@pytest.mark.parametrize("provider_id", provider_ids())
@few
@given(data=st.data())
def test_a_changed_header_is_refused(provider_id: str, data: st.DataObject) -> None:
    """A signed header replaced, cut, doubled, re-cased or gone is never accepted; others may change."""
    provider, delivery, vector = good(provider_id)
    if not delivery.headers:
        return
    name = data.draw(st.sampled_from(sorted(delivery.headers)))
    before = delivery.headers[name]
    place = data.draw(st.integers(0, len(before)))
    flipped = before[:place] + data.draw(anything) + before[place + 1 :]
    parts = [",".join(before.split(",")[::-1]), " ".join(before.split(" ")[::-1])]
    changes = [flipped, f"{before},{before}", before.swapcase(), before[::-1], before * 200, *parts]
    after = data.draw(st.one_of(st.none(), anything, *(st.just(each) for each in changes)))
    headers = {n: v for n, v in delivery.headers.items() if n != name} | ({} if after is None else {name: after})
    changed = replace(delivery, headers=headers, claims={}, protected={})
    accepted = verdict(provider, changed, vector).accepted
    delivery_key(provider, changed, "0" * 64, None)
    event_type(provider, changed)
    signature = provider.scheme.signature
    if after == before:
        assert accepted
    elif accepted and covered(provider, name):
        # The same proof in another writing: hex in another case, a list with something beside it.
        assert after is not None
        assert signature is not None
        assert any(f"header:{name}" == each.lower() for each in signature.places)
        assert proofs(provider, before, delivery) & proofs(provider, after, changed)


def urls_are_signed(provider: Provider) -> bool:
    """Whether the registered URL is part of whatever is signed."""
    contents = provider.scheme.contents
    in_claims = any("url" in template.fields for _, templates in provider.scheme.claims for template in templates)
    return in_claims or (bool(contents) and all("url" in content.template.fields for content in contents))


@pytest.mark.parametrize("provider_id", provider_ids())
@few
@given(data=st.data())
def test_a_changed_url_is_refused(provider_id: str, data: st.DataObject) -> None:
    """A signed URL or parameter replaced or gone is never accepted; others may change, and none is an exception."""
    provider, delivery, vector = good(provider_id)
    url = data.draw(st.sampled_from([f"{delivery.url}/x", delivery.url.upper(), "http://other.example", ""]))
    accepted = verdict(provider, replace(delivery, url=url, claims={}, protected={}), vector).accepted
    assert not (accepted and url != delivery.url and urls_are_signed(provider))
    for name, before in delivery.query.items():
        after = data.draw(st.one_of(st.none(), anything, st.just(before[::-1]), st.just(before * 200)))
        query = {n: v for n, v in delivery.query.items() if n != name} | ({} if after is None else {name: after})
        raw_query = urlencode(query, errors="surrogatepass")
        changed = replace(delivery, query=query, raw_query=raw_query, claims={}, protected={})
        places = provider.scheme.signature.places if provider.scheme.signature else ()
        if verdict(provider, changed, vector).accepted and after != before:
            assert f"query:{name}" not in places or (after or "").lower() == before.lower()
            assert not provider.scheme.signs(f"query:{name}")


@pytest.mark.parametrize("provider_id", provider_ids())
@few
@given(data=st.data())
def test_whatever_is_sent_has_a_verdict(provider_id: str, data: st.DataObject) -> None:
    """Any method, headers, query and body: answered, refused with a reason, or not meant for us; never an exception,
    and never accepted without the proof."""
    provider, whole, vector = good(provider_id)
    names = st.sampled_from([*whole.headers, "content-type", "content-encoding", "authorization", "x-other"])
    delivery = Delivery(
        method=data.draw(st.sampled_from(["POST", "POST", "GET", "HEAD", "OPTIONS"])),
        headers=data.draw(st.dictionaries(names, anything, max_size=4)),
        body=data.draw(st.one_of(st.binary(max_size=100), st.just(whole.body), st.just(b"[" * 10_000))),
        query=data.draw(st.dictionaries(st.sampled_from([*whole.query, "challenge", "hub.challenge"]), anything)),
        url=whole.url,
        config=whole.config,
    )
    secrets = [vector["secret"]] if "secret" in vector else []
    examined = examine(provider, delivery, secrets, vector["now"])
    if examined.verification is not None:
        why = examined.verification.reason
        if why is not None:
            assert diagnose(provider, delivery, secrets, vector["now"], why)[0].startswith("rejected_")
        else:
            assert provider.scheme.kind == "none" or delivery.body == whole.body  # what is proven in the body alone


@pytest.mark.parametrize("provider_id", provider_ids())
@few
@given(secret=anything)
@example(secret="\ud800")
def test_another_secret_is_refused(provider_id: str, secret: str) -> None:
    """Only the webhook's own secret verifies, with or without its prefix."""
    provider, delivery, vector = good(provider_id)
    changed = replace(delivery, claims={}, protected={})
    accepted = verify(provider.scheme, changed, [secret], vector["now"]).accepted
    shared_secret = "secret" in vector and "pem" not in provider.scheme.key.encodings
    if provider.scheme.kind not in ("none", "asymmetric") and shared_secret:
        same = {key for _, key in keys_of(provider.scheme.key, [secret], delivery)}
        assert accepted is bool(same & {key for _, key in keys_of(provider.scheme.key, [vector["secret"]], delivery)})


@given(body=st.binary(max_size=300))
@settings(max_examples=20, deadline=None)
def test_reading_a_verified_body_never_fails(body: bytes) -> None:
    """Bytes that are no JSON have no type and no id, and that is all."""
    for provider_id in provider_ids():
        provider, delivery, _ = good(provider_id)
        found = Delivery("POST", delivery.headers, body)
        assert event_type(provider, found) != ""
        assert delivery_key(provider, found, "0" * 64, None)
