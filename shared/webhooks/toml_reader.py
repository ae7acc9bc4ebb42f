"""A table of a provider's file, read with errors that name its key."""

from __future__ import annotations

from collections.abc import Mapping

from shared.json_types import JsonMapping, JsonObject


class TomlTable:
    """One table; every reader raises `ValueError` that says what to write."""

    def __init__(self, name: str, data: object) -> None:
        """`name` says in error messages which table it is."""
        if not isinstance(data, Mapping):
            raise ValueError(f"{name} must be a table.")
        self._name = name
        self._data: JsonMapping = data

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it is required, and must not be empty."""
        value = self._data.get(key, default)
        if not isinstance(value, str) or (value == "" and default is None):
            raise ValueError(f"{self._name}.{key} must be a text.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts; empty where the key is missing."""
        value = self._data.get(key)
        texts = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) and text for text in texts):
            raise ValueError(f"{self._name}.{key} must be a text or a list of texts.")
        return tuple(texts)

    def texts_of(self, key: str) -> dict[str, str]:
        """A table of texts."""
        value = self._data.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError(f"{self._name}.{key} must be a table of texts.")
        return dict(value)

    def table(self, key: str) -> JsonObject:
        """A table of any values; empty where the key is missing."""
        value = self._data.get(key, {})
        if not isinstance(value, Mapping):
            raise ValueError(f"{self._name}.{key} must be a table.")
        return dict(value)

    def one_of(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """One of the known texts."""
        value = self.text(key, default)
        if value not in known:
            raise ValueError(f"{self._name}.{key} must be one of {', '.join(known)}, not {value!r}.")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{self._name}.{key} must be a whole number from {least} to {most}.")
        return value

    def truth(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self._name}.{key} must be true or false.")
        return value

    def has_only(self, *known: str) -> None:
        """Raises `ValueError` where the table has another key."""
        unknown = sorted(set(self._data) - set(known))
        if unknown:
            raise ValueError(f"{self._name}.{unknown[0]} is not known; there are {', '.join(known)}.")
