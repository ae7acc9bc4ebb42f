"""Values that fit a JSON schema, with one text in them that nobody hopes for: made of the schema alone, so that a field
which is added is tested without a word here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.json_types import JsonObject

# What a database, a header, a log or a page may stumble over.
TEXTS: dict[str, str] = {
    "NUL": "a\x00b",
    "half surrogate pairs": "a\ud800 \udfffb",
    "noncharacters": "a\ufffe\uffff\ufdd0\U0010ffffb",
    "long": "x" * 20_000,
    "marks": "'\"\\;%s%00{{}}{% 1 %}$\r\n\t\u202e<b>",
}
# How deep JSON from outside may be, and no deeper.
MAX_DEPTH = 100


class Schema:
    """A JSON schema with its definitions, and values for names that must fit something which is there."""

    def __init__(self, root: JsonObject, definitions: Mapping[str, JsonObject], known: Mapping[str, Any]) -> None:
        self._root, self._definitions, self._known = root, definitions, known

    def example(self) -> Any:
        """A value that fits, with what must be there."""
        return self._example(self._root, "")

    def hostile(self, text: str) -> Iterator[Any]:
        """Values that would fit but for this text, each with it in another place."""
        return self._hostile(self._root, "", text)

    def _resolved(self, schema: Any) -> JsonObject:
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema if isinstance(schema, dict) else {}

    def _example(self, schema: Any, name: str) -> Any:
        schema = self._resolved(schema)
        if name in self._known:
            return self._known[name]
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0], name)
        if "const" in schema or "enum" in schema:
            return schema.get("const") or schema["enum"][0]
        match schema.get("type"):
            case "object":
                properties = schema.get("properties", {})
                return {each: self._example(properties[each], each) for each in schema.get("required", ())}
            case "array":
                return [self._example(schema.get("items", {}), name)] * schema.get("minItems", 0)
            case "integer" | "number":
                return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            case "boolean":
                return False
            case "string":
                return "x" * max(1, schema.get("minLength", 1))
        return None

    def _hostile(self, schema: Any, name: str, text: str) -> Iterator[Any]:
        schema = self._resolved(schema)
        if "anyOf" in schema:
            for each in schema["anyOf"]:
                yield from self._hostile(each, name, text)
        elif schema.get("type") == "object" and "properties" in schema:
            base = self._example(schema, name)
            base = base if isinstance(base, dict) else {}
            for field, inner in schema["properties"].items():
                for value in self._hostile(inner, field, text):
                    yield {**base, field: value}
            yield {**base, text: 1}
        elif schema.get("type") == "array":
            known = self._known.get(name, [])
            for value in self._hostile(schema.get("items", {}), "", text):
                yield [*known, value]
        elif schema.get("type") in ("string", "integer", "number", "boolean"):
            yield text
        elif schema.get("type") == "object" or "type" not in schema:
            yield from free(text)


def free(text: str) -> Iterator[Any]:
    """Values of any shape with the text in them."""
    yield {"a": text}
    yield {text: 1}
    yield [text, [text]]
    yield text
    deep: Any = text
    for _ in range(MAX_DEPTH - 10):
        deep = {"a": [deep]} if isinstance(deep, list) else [deep]
    yield deep
