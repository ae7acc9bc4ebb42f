"""Query parameters under /signals: signals by URLs that are credentials."""

from __future__ import annotations

import json
import re

from pydantic import ConfigDict

from shared.http.parameters.common import Query

_SCALAR = re.compile(r"true|false|null|-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?", re.ASCII)


class SignalQuery(Query):
    """The payload, where no body has it: any parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def payload(self) -> object:
        """The parameters as an object, `true`, `false`, `null` and numbers as such; without any, null."""
        texts = self.model_extra or {}
        return {name: json.loads(text) if _SCALAR.fullmatch(text) else text for name, text in texts.items()} or None
