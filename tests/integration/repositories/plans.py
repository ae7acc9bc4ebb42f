"""What Postgres really did for a call: the plans of all its statements, nested ones too, as auto_explain logs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from shared.json_types import JsonObject

Plan = JsonObject

SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_verbose": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
}
# A log entry continues on lines that begin with a tab.
_PLAN = re.compile(r"  plan:\n((?:\t.*\n)+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """One executed statement."""

    text: str
    plan: Plan

    def nodes(self) -> Iterator[Plan]:
        """Every node of the plan, the root first."""
        open_nodes = [self.plan]
        while open_nodes:
            node = open_nodes.pop()
            yield node
            open_nodes += node.get("Plans", [])

    @property
    def pages(self) -> int:
        """How many pages of tables and indexes it looked at."""
        return int(self.plan["Shared Hit Blocks"] + self.plan["Shared Read Blocks"])

    @property
    def rows(self) -> int:
        """The most rows that one node of the plan looked at, those that its filters threw away included."""
        return int(max(_rows(node) for node in self.nodes()))

    def scanned(self) -> set[str]:
        """The tables that were read from their beginning."""
        return {
            node["Relation Name"] for node in self.nodes() if "Seq Scan" in node["Node Type"] and node["Actual Loops"]
        }


def _rows(node: Plan) -> float:
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


class Plans:
    """The plans that sessions on one database have left in the server's log."""

    def __init__(self, database_url: str, log: Path) -> None:
        """`log` is the server's."""
        self._database_url, self._log = database_url, log
        self._read = 0

    def explain(self) -> None:
        """Lets every session on the database that begins from now on explain what it does."""
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute("load 'auto_explain'")
            for setting, value in SETTINGS.items():
                statement = sql.SQL("alter database {} set {} = {}")
                setting_name = sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
                connection.execute(statement.format(name, setting_name, sql.Literal(value)))

    def forget(self) -> None:
        """Leaves out what was logged until now."""
        self._read = self._log.stat().st_size

    def statements(self) -> list[Statement]:
        """What was done since the last look, inner statements before those that called them."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        entries = [json.loads(found.replace("\n\t", "\n")) for found in _PLAN.findall(text.decode())]
        return [Statement(entry["Query Text"], entry["Plan"]) for entry in entries]
