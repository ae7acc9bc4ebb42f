"""`python -m local <command>`: each command is a module of this package with a `main(argv) -> int`."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "dev": ("local.stack.dev", "start the whole stack and keep it up until Ctrl-C"),
    "demo": ("local.demo.command", "send one signed webhook through the whole stack and show what happened"),
    "functions": ("local.stack.functions", "serve the template's functions over an HTTP API and Lambda's Invoke API"),
    "supabase": ("local.gateway.cli", "serve a Postgres database as Supabase's REST API"),
    "api-key": ("local.tools.api_key", "make a tenant's first API key"),
    "rebuild": ("local.tools.rebuild", "rebuild the read models from the event store, or check them against it"),
    "reseal": ("local.tools.reseal", "encrypt stored secrets again, under the newest key"),
    "sink": ("local.tools.sink", "answer every request and show it: something to send to"),
    "send": ("local.tools.send", "sign a delivery as its provider does and send it"),
    "verify": ("local.tools.verify", "explain deliveries offline, from JSON lines"),
    "catalog": ("local.tools.catalog", "write the generated pages of docs/reference, or check that they are current"),
    "invoke": ("local.tools.invoke", "invoke a built function with an event, as Lambda does"),
    "smoke-aws": ("local.tools.smoke_aws", "deploy a build into an emulator of AWS and send it a webhook"),
    "schema": (
        "local.tools.schema",
        "write supabase/schema.sql, the whole schema to be read, or check that it is current",
    ),
    "dependencies": ("local.tools.dependencies", "look at licences and known vulnerabilities of the locked packages"),
    "openapi": ("local.tools.openapi", "write the API's description, or check that it is current"),
}


def main(argv: list[str]) -> int:
    """The exit code of the command that `argv` names; 2 with the list of commands when it names none."""
    if argv and argv[0] in COMMANDS:
        command = importlib.import_module(COMMANDS[argv[0]][0])
        code: int = command.main(argv[1:])
        return code
    wanted = bool(argv) and argv[0] in ("-h", "--help", "help")
    lines = ["usage: python -m local <command> [options]", "", "commands:"]
    lines += [f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    print("\n".join(lines), file=sys.stdout if wanted else sys.stderr)
    return 0 if wanted else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
