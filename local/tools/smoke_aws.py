"""`python -m local smoke-aws`: the built template deployed into an emulator of AWS on this machine, and one webhook.

    python -m local smoke-aws <build folder> <emulator's Python>

What is tried here and by no other test: that `sam package` finds all there is, that CloudFormation takes the template
and its references and makes the stack, and that the stack can be upgraded. The emulator (ministack, from PyPI) runs
functions as processes, with their layer, behind its HTTP API and with its Secrets Manager. It reads no OpenAPI
document, so the routes that SAM puts into one are spelled out first. Supabase and Redis are the local stack's own.
"""

from __future__ import annotations

import json
import os
import shutil
import string
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from local.demo.story import DemoError, tell
from local.stack import migrations
from local.stack.gateway_process import SupabaseGateway
from local.stack.http_routes import spelled_out
from local.stack.intrinsics import REGION
from local.stack.postgres import PostgresServer
from local.stack.process import ServerError, free_port, spawn, stop, tail, wait_until
from local.stack.redis import RedisServer
from local.stack.tokens import LocalKeys
from local.tools.artifacts import ROOT

STACK = "smoke"
BUCKET = "artifacts"
# The emulator unpacks a function and its layer at the first invocation.
WAIT_SECONDS = 120.0
TOOLS = ROOT / ".local" / "lambda" / "tools" / "bin"
TRANSFORM = ROOT / "local" / "lambda_tools" / "transform.py"


def main(argv: list[str]) -> int:
    """0 when the webhook's run has ended as it should; 1 with what went wrong."""
    build, python = Path(argv[0]).absolute(), Path(argv[1]).absolute()
    with TemporaryDirectory() as folder, ExitStack() as cleanup:
        try:
            parameters = cleanup.enter_context(servers(Path(folder)))
            tenant_id, api_key = _first_key(parameters)
            # The story's request goes to this machine.
            parameters["OutboundAllow"] = f"{tenant_id}=127.0.0.1"
            shutil.copytree(build, Path(folder) / "build")
            deployment = Deployment(Path(folder), cleanup.enter_context(emulator(Path(folder), python)))
            deployment.package("first")
            api_id = deployment.deploy(parameters)
            url = f"{deployment.endpoint}/_aws/execute-api/{api_id}/$default"
            print(f"deployed   {url}/health: {_health(url)}")
            # Its URL is known now; and a stack that cannot be upgraded is half a stack.
            deployment.package("second")
            deployment.deploy({**parameters, "PublicUrl": url})
            try:
                tell(url, api_key, print, WAIT_SECONDS)
            except (DemoError, httpx.HTTPError):
                print(deployment.logs(), file=sys.stderr)
                raise
        except (DemoError, ServerError, httpx.HTTPError, urllib.error.URLError, subprocess.CalledProcessError) as error:
            print(f"smoke-aws failed: {error}\n{tail(Path(folder) / 'emulator.log', 60)}", file=sys.stderr)
            return 1
    print("smoke-aws: the deployed stack took a webhook and ran it")
    return 0


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """A Postgres with its gateway and a Redis, as the template's parameters."""
    with PostgresServer(folder / "postgres", durable=False) as postgres, RedisServer(folder / "redis") as redis:
        migrations.apply(postgres.url())
        gateway = SupabaseGateway(postgres.url(), LocalKeys.of(folder / "keys"), folder / "gateway.log").start()
        try:
            yield {
                "SupabaseUrl": gateway.url,
                "SupabaseKey": gateway.service_key,
                "RedisHost": "127.0.0.1",
                "RedisPort": str(redis.port),
                "RedisTls": "false",
                "Architecture": "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64",
            }
        finally:
            gateway.stop()


@contextmanager
def emulator(folder: Path, python: Path) -> Iterator[str]:
    """The emulator's URL."""
    port, log = free_port(), folder / "emulator.log"
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
    }
    process = spawn([python, "-m", "ministack"], log, environment=environment, folder=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(f"{url}/_ministack/health"), process, log, "The emulator", 60)
        yield url
    finally:
        stop(process)


class Deployment:
    """The stack in one emulator."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        """`folder` holds the build, and the template on its way."""
        self.endpoint = endpoint
        self._build = folder / "build"
        _request(f"{endpoint}/{BUCKET}", "PUT")
        self._packaged = folder / "packaged.yaml"
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
        }

    def package(self, revision: str) -> None:
        """Uploads the code; `revision` is what `make build REVISION=…` writes."""
        for function in self._build.glob("*Function"):
            (function / "REVISION").write_text(revision)
        self._sam(
            *("package", "--template-file", self._build / "template.yaml"),
            *("--s3-bucket", BUCKET, "--output-template-file", self._packaged),
        )

    def deploy(self, parameters: Mapping[str, str]) -> str:
        """The id of the deployed HTTP API."""
        command: list[str | Path] = [TOOLS / "python", TRANSFORM, self._packaged]
        done = subprocess.run(command, check=True, capture_output=True)
        template = spelled_out(json.loads(done.stdout))
        # The emulator does not know ExcludePunctuation.
        generated = template["Resources"]["SecretsKey"]["Properties"]["GenerateSecretString"]
        generated["ExcludeCharacters"] = string.punctuation
        transformed = self._packaged.with_name("transformed.json")
        transformed.write_text(json.dumps(template))
        overrides = [f"ParameterKey={name},ParameterValue={value}" for name, value in parameters.items()]
        self._sam(
            *("deploy", "--template-file", transformed, "--stack-name", STACK, "--s3-bucket", BUCKET),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--parameter-overrides", *overrides),
        )
        outputs = json.loads(self._sam("list", "stack-outputs", "--stack-name", STACK, "--output", "json"))
        (api_url,) = [output["OutputValue"] for output in outputs if output["OutputKey"] == "ApiUrl"]
        return str(api_url).removeprefix("https://").partition(".")[0]

    def logs(self) -> str:
        """The functions' logs."""
        return self._sam("logs", "--stack-name", STACK)

    def _sam(self, *arguments: str | Path) -> str:
        command = [str(TOOLS / "sam"), *map(str, arguments)]
        done = subprocess.run(command, env=self._environment, cwd=self._packaged.parent, capture_output=True, text=True)
        if done.returncode != 0:
            raise DemoError(f"sam {arguments[0]}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout


def _first_key(parameters: Mapping[str, str]) -> tuple[str, str]:
    """A new tenant's id and API key, made as the deploy guide says."""
    supabase = {"SUPABASE_URL": parameters["SupabaseUrl"], "SUPABASE_KEY": parameters["SupabaseKey"]}
    command = [sys.executable, "-m", "local", "api-key", "--name", "first", "--role", "admin"]
    done = subprocess.run(command, env={**os.environ, **supabase}, check=True, capture_output=True, text=True)
    printed = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return printed["TENANT_ID"], printed["API_KEY"]


def _health(url: str) -> object:
    with urllib.request.urlopen(f"{url}/health", timeout=WAIT_SECONDS) as answer:  # noqa: S310 -- our own http URL
        return json.load(answer)["status"]


def _request(url: str, method: str) -> int:
    request = urllib.request.Request(url, method=method, headers={"authorization": "AWS4-HMAC-SHA256 Credential=test"})  # noqa: S310 -- our own http URL
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- the same
        return int(answer.status)


def _answers(url: str) -> bool:
    try:
        return _request(url, "GET") == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
