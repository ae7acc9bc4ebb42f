"""Fields: how a provider's file names a piece of a delivery.

    body                 the bytes as sent            header:X-Event     a header
    ts                   the timestamp, as sent       query:token        a query parameter, decoded
    url                  the registered public URL    json:a.b[0].c      in the body's JSON; `a[].b`: the first there
                         with the query as sent       form:name          in the body's form
    path, query_string, method                        config:name        of the webhook's configuration
    form_sorted          name and value of every      signature:t        a pair, or by number an item, of the signature
                         form field, by name;         item:a.b           in this item, where the scheme has `items`
    form_sorted:unique   the same, each value once    claim:sub, protected:kid   of a token that has verified
    form_php:x           the form but its field x, by name, as PHP serialises an array of texts
    secret               the webhook's secret         text:push          this very text
    sorted:a,b           other fields' texts, sorted   let:name           of the table `let`
    open, close          a brace

`?` after a field says that it may be missing, which is then an empty text; ` / ` parts alternatives, of which the first
that is there counts; `|` begins a transform, as in `body|sha256|hex` (see `shared/webhooks/signatures/transforms.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.encodings import as_bytes, as_text
from shared.webhooks.signatures.json_path import parse_path, text_of, values
from shared.webhooks.signatures.transforms import Value, transform

# Transforms after which the text can be changed without changing the signature.
LOSSY = frozenset({"crc32", "before", "after", "json", "without_query"})

# More than any provider's file has of one field's transforms.
MAX_TRANSFORMS = 8

Reader = Callable[[SignatureContext], Value]
Source = Callable[[Delivery], str | None]


class Field:
    """A parsed field. `bases` are the places in it without their transforms, which a signature over it covers;
    `is_lossy`: its transforms keep too little of it for that."""

    __slots__ = ("bases", "is_lossy", "read", "text")

    def __init__(self, text: str, read: Reader, bases: tuple[str, ...], is_lossy: bool) -> None:
        """See `parse_field`."""
        self.text = text
        self.read = read
        self.bases = bases
        self.is_lossy = is_lossy

    def as_text(self, context: SignatureContext) -> str | None:
        """The field's value as text; `None` where it is missing."""
        value = self.read(context)
        return value if value is None or isinstance(value, str) else as_text(value)

    def __call__(self, delivery: Delivery) -> str | None:
        """The same of a delivery of which nothing else is known."""
        return self.as_text(SignatureContext(delivery))


def parse_field(text: str) -> Field:
    """The field in `text`; one that the grammar does not know raises `ValueError` that says what there is."""
    alternatives = [_alternative(alternative.strip()) for alternative in text.split(" / ")]
    bases = tuple(base for _, base, _ in alternatives)
    is_lossy = any(lossy for _, _, lossy in alternatives)
    if len(alternatives) == 1:
        return Field(text, alternatives[0][0], bases, is_lossy)
    # An empty text counts as missing here, and the next alternative is read.
    readers = [read for read, _, _ in alternatives]
    return Field(
        text, lambda context: next((value for read in readers if (value := read(context))), None), bases, is_lossy
    )


def parse_source(text: str) -> Field:
    """The reader of a place that must have a name, like `header:X-Event`; anything else raises `ValueError`."""
    if not text or (":" not in text and text.partition("|")[0] not in _PLAIN) or text.endswith(":"):
        raise ValueError(f"{text!r} names no place in a delivery; write one like header:X-Id, query:id or json:a.b.")
    return parse_field(text)


def _alternative(text: str) -> tuple[Reader, str, bool]:
    base, *changes = text.split("|")
    is_optional = base.endswith("?")
    base = base.removesuffix("?")
    read = _source(base)
    if is_optional:
        bare = read

        def read(context: SignatureContext) -> Value:
            value = bare(context)
            return "" if value is None else value

    if len(changes) > MAX_TRANSFORMS:
        raise ValueError(f"a field may have {MAX_TRANSFORMS} transforms, not {len(changes)}.")
    for change in changes:
        read = _then(read, transform(change))
    return read, base, any(change.partition(":")[0] in LOSSY for change in changes)


def _then(read: Reader, change: Callable[[bytes | str, SignatureContext], Value]) -> Reader:
    def changed(context: SignatureContext) -> Value:
        # The budget is spent on what is read, and again on what it has grown to, which the next transform reads.
        value, work = read(context), context.delivery.work
        if value is None or not work.spend(len(value)):
            return None
        changed_value = change(value, context)
        return changed_value if changed_value is None or work.spend(len(changed_value)) else None

    return changed


def _source(base: str) -> Reader:
    if base in _PLAIN:
        return _PLAIN[base]
    kind, _, name = base.partition(":")
    if kind not in _NAMED or not name:
        known = ", ".join((*_PLAIN, *(f"{kind}:…" for kind in _NAMED)))
        raise ValueError(f"{base!r} names no place in a delivery; there are {known}.")
    return _NAMED[kind](name)


# A field name of RFC 9110, section 5.1.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _header(name: str) -> Reader:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a header's name; write one like X-Signature.")
    lower = name.lower()
    return lambda context: context.delivery.headers.get(lower)


def _query(name: str) -> Reader:
    return lambda context: context.delivery.query.get(name)


def _json(name: str) -> Reader:
    steps = parse_path(name)
    first = next((step for step in steps if isinstance(step, str)), None)
    # Most deliveries lack what most paths name; a search for the name finds that out without parsing megabytes.
    needle = f'"{first}"'.encode() if first is not None else b""

    def read(context: SignatureContext) -> Value:
        # A search; and where the path leads to every item of a list, a look at each.
        if not context.delivery.work.spend(len(context.delivery.body) * 2 if None in steps else 0):
            return None
        if needle not in context.delivery.body:
            return None
        value = context.delivery.json
        return next((text for item in values(value, steps) if (text := text_of(item)) is not None), None)

    return read


def _item(name: str) -> Reader:
    steps = parse_path(name)
    return lambda context: next(
        (text for item in values(context.item, steps) if (text := text_of(item)) is not None), None
    )


def _form(name: str) -> Reader:
    return lambda context: next((value for key, value in context.delivery.form or () if key == name), None)


def _config(name: str) -> Reader:
    return lambda context: text_of(context.delivery.config.get(name))


def _signature(name: str) -> Reader:
    if name.isdigit():
        place = int(name)
        return lambda context: context.pairs[place][1] if place < len(context.pairs) else None

    def read(context: SignatureContext) -> Value:
        pair_values = {value for key, value in context.pairs if key == name}
        # Under one name with two values, which of them was signed is not known.
        return pair_values.pop() if len(pair_values) == 1 else None

    return read


def _claim(where: str) -> Callable[[str], Reader]:
    def named(name: str) -> Reader:
        steps = parse_path(name)
        return lambda context: next(
            (text for item in values(getattr(context.delivery, where), steps) if (text := text_of(item)) is not None),
            None,
        )

    return named


def _text(name: str) -> Reader:
    return lambda _: name


def _let(name: str) -> Reader:
    return lambda context: context.lets[name].render(context) if name in context.lets else None


def _sorted(names: str) -> Reader:
    if "sorted:" in names:
        raise ValueError(f"sorted:{names[:80]} sorts fields that are sorted already.")
    fields = [parse_field(name) for name in names.split(",")]

    def read(context: SignatureContext) -> Value:
        texts = [field.as_text(context) for field in fields]
        return None if None in texts else "".join(sorted(text or "" for text in texts))

    return read


def _form_sorted(unique: bool) -> Reader:
    def read(context: SignatureContext) -> Value:
        fields = context.delivery.form
        if fields is None or not context.delivery.work.spend(len(context.delivery.body) * 2):
            return None
        ordered = sorted(set(fields)) if unique else sorted(fields, key=lambda pair: pair[0])
        return b"".join(as_bytes(name) + as_bytes(value) for name, value in ordered)

    return read


def _form_php(name: str) -> Reader:
    def read(context: SignatureContext) -> Value:
        fields = context.delivery.form
        if fields is None or not context.delivery.work.spend(len(context.delivery.body) * 2):
            return None
        # A repeated field has its last value, as in PHP.
        pairs = sorted((as_bytes(key), as_bytes(value)) for key, value in dict(fields).items() if key != name)
        texts = b"".join(b's:%d:"%s";' % (len(text), text) for pair in pairs for text in pair)
        return b"a:%d:{%s}" % (len(pairs), texts)

    return read


def _path(context: SignatureContext) -> Value:
    return "/" + context.delivery.url.partition("://")[2].partition("/")[2]


_PLAIN: dict[str, Reader] = {
    "body": lambda context: context.delivery.body,
    "ts": lambda context: context.timestamp,
    "url": lambda context: context.delivery.full_url,
    "path": _path,
    "query_string": lambda context: context.delivery.raw_query,
    "method": lambda context: context.delivery.method,
    "secret": lambda context: context.secret,
    "form_sorted": _form_sorted(False),
    "form_sorted:unique": _form_sorted(True),
    "open": lambda _: "{",
    "close": lambda _: "}",
}
_NAMED: dict[str, Callable[[str], Reader]] = {
    "header": _header,
    "query": _query,
    "json": _json,
    "form": _form,
    "config": _config,
    "signature": _signature,
    "item": _item,
    "claim": _claim("claims"),
    "protected": _claim("protected"),
    "text": _text,
    "let": _let,
    "form_php": _form_php,
    "sorted": _sorted,
}
