"""The part of a SAM template that the local stack runs: functions, routes, authorizers, CORS and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.stack.intrinsics import ACCOUNT_ID, REGION, Resolver, TemplateError, load
from shared.json_types import JsonMapping, JsonObject

_DEFAULT_TIMEOUT_SECONDS = 3  # Lambda's own default, as is the memory
_DEFAULT_MEMORY_MB = 128
_REAUTHORIZE_SECONDS = 300  # AWS::ApiGatewayV2::Authorizer's AuthorizerResultTtlInSeconds when SAM gives none


@dataclass(frozen=True, slots=True)
class Schedule:
    """One `Schedule` or `ScheduleV2` event: what to invoke it with, and when."""

    name: str
    kind: str
    expression: str
    input: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """One `AWS::Serverless::Function`."""

    logical_id: str
    name: str
    handler: str
    code_folder: Path
    timeout_seconds: float
    memory_mb: int
    environment: Mapping[str, str]
    async_retries: int
    schedules: tuple[Schedule, ...] = ()
    layers: tuple[Path, ...] = ()

    @property
    def arn(self) -> str:
        """Its ARN in the local account."""
        return function_arn(self.name)


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A Lambda REQUEST authorizer with simple responses."""

    name: str
    function: str
    # ("header", "authorization") or ("querystring", name); all are required, and together they are the cache's key.
    identity_sources: tuple[tuple[str, str], ...]
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API; `path` None is `$default`."""

    method: str
    path: str | None
    function: str
    authorizer: str | None

    @property
    def key(self) -> str:
        """The route key that API Gateway shows, such as `GET /api/workflows/{id}`."""
        return "$default" if self.path is None else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Cors:
    """The HTTP API's CORS configuration."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """All that the local stack runs. Functions are keyed by function name."""

    functions: Mapping[str, Function]
    routes: tuple[Route, ...]
    authorizers: Mapping[str, Authorizer] = field(default_factory=dict)
    cors: Cors | None = None


def function_arn(name: str) -> str:
    """The ARN of a function in the local account."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


def read_template(path: Path, parameters: Mapping[str, str] | None = None) -> Template:
    """The template at `path`, its parameters overridden by `parameters`.

    Raises `TemplateError` for settings that would behave differently on AWS without a sign.
    """
    document = load(path)
    resources: JsonObject = document.get("Resources") or {}
    # Names may be made of parameters, but hardly of each other.
    plain = Resolver(document, parameters or {}, {}, {})
    names = {
        logical_id: str(plain.resolve((resource.get("Properties") or {}).get("FunctionName", logical_id)))
        for logical_id, resource in resources.items()
        if resource.get("Type") == "AWS::Serverless::Function"
    }
    refs: dict[str, str] = dict(names)
    # A layer is known by its folder: the functions of a build find its packages there.
    refs |= {
        logical_id: str(resource["Properties"]["ContentUri"])
        for logical_id, resource in resources.items()
        if resource.get("Type") == "AWS::Serverless::LayerVersion"
    }
    refs |= {f"{logical_id}.Alias": f"{function_arn(name)}:live" for logical_id, name in names.items()}
    attributes = {(logical_id, "Arn"): function_arn(name) for logical_id, name in names.items()}
    return _Reader(path.parent, document, Resolver(document, parameters or {}, refs, attributes)).read(resources)


class _Reader:
    def __init__(self, folder: Path, document: JsonMapping, resolver: Resolver) -> None:
        self._folder = folder
        self._resolver = resolver
        self._globals: JsonObject = document.get("Globals") or {}

    def read(self, resources: JsonMapping) -> Template:
        wanted = {
            logical_id: resource
            for logical_id, resource in resources.items()
            if "Condition" not in resource or self._resolver.holds(resource["Condition"])
        }
        # SAM makes an implicit HTTP API where the template has none.
        apis = {
            logical_id: self._with_globals("HttpApi", resource)
            for logical_id, resource in wanted.items()
            if resource.get("Type") == "AWS::Serverless::HttpApi"
        }
        if len(apis) > 1:
            raise TemplateError(f"The local stack serves one HTTP API, and the template has {', '.join(apis)}.")
        api = next(iter(apis.values())) if apis else self._resolver.resolve(self._globals.get("HttpApi") or {})
        if "DefinitionBody" in api or "DefinitionUri" in api:
            raise TemplateError(
                "The local stack reads routes from the functions' events, not from an OpenAPI document."
            )
        auth = api.get("Auth") or {}
        functions: dict[str, Function] = {}
        routes: list[Route] = []
        for logical_id, resource in wanted.items():
            if resource.get("Type") == "AWS::Serverless::Function":
                properties = self._with_globals("Function", resource)
                function = self._function(logical_id, properties)
                functions[function.name] = function
                routes += self._routes(function.name, properties.get("Events") or {}, auth.get("DefaultAuthorizer"))
        authorizers = {name: _authorizer(name, entry) for name, entry in (auth.get("Authorizers") or {}).items()}
        _check(functions, routes, authorizers)
        return Template(functions, tuple(routes), authorizers, _cors(api.get("CorsConfiguration")))

    def _with_globals(self, section: str, resource: JsonMapping) -> JsonObject:
        """The resource's properties over those of Globals: maps are merged, lists joined, all else replaced (SAM)."""
        merged = _merge(self._globals.get(section) or {}, resource.get("Properties") or {})
        resolved: JsonObject = self._resolver.resolve(merged)
        return resolved

    def _function(self, logical_id: str, properties: JsonMapping) -> Function:
        variables = (properties.get("Environment") or {}).get("Variables") or {}
        retries = (properties.get("EventInvokeConfig") or {}).get("MaximumRetryAttempts", 2)
        return Function(
            logical_id=logical_id,
            name=str(properties.get("FunctionName", logical_id)),
            handler=properties["Handler"],
            code_folder=(self._folder / properties.get("CodeUri", ".")).resolve(),
            timeout_seconds=float(properties.get("Timeout", _DEFAULT_TIMEOUT_SECONDS)),
            memory_mb=int(properties.get("MemorySize", _DEFAULT_MEMORY_MB)),
            environment={name: _text(value) for name, value in variables.items()},
            async_retries=int(retries),
            schedules=tuple(_schedules(properties.get("Events") or {})),
            layers=tuple((self._folder / str(layer)).resolve() for layer in properties.get("Layers") or ()),
        )

    def _routes(self, function: str, events: JsonMapping, default_authorizer: str | None) -> Iterator[Route]:
        for event in events.values():
            if event.get("Type") != "HttpApi":
                continue
            properties = event.get("Properties") or {}
            authorizer = (properties.get("Auth") or {}).get("Authorizer", default_authorizer)
            if properties.get("PayloadFormatVersion", "2.0") not in ("2.0", 2.0):
                raise TemplateError(f"{function}: the local stack speaks payload format version 2.0 only.")
            method = str(properties.get("Method", "ANY")).upper()
            yield Route(
                method="ANY" if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" else method,
                path=None if properties.get("Path") in (None, "$default") else properties["Path"],
                function=function,
                authorizer=None if authorizer in (None, "NONE") else authorizer,
            )


def _check(functions: Mapping[str, Function], routes: list[Route], authorizers: Mapping[str, Authorizer]) -> None:
    keys = [route.key for route in routes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise TemplateError(f"These routes are defined twice: {', '.join(twice)}.")
    if unknown := sorted({route.authorizer for route in routes if route.authorizer} - set(authorizers)):
        raise TemplateError(f"These authorizers are not defined: {', '.join(unknown)}.")
    if missing := sorted({entry.function for entry in authorizers.values()} - set(functions)):
        raise TemplateError(f"These authorizer functions are not in the template: {', '.join(missing)}.")


def _authorizer(name: str, entry: JsonMapping) -> Authorizer:
    if str(entry.get("AuthorizerPayloadFormatVersion")) != "2.0" or not entry.get("EnableSimpleResponses"):
        raise TemplateError(
            f"{name}: the local stack runs Lambda authorizers of version 2.0 with simple responses only."
        )
    identity = entry.get("Identity") or {}
    if unsupported := sorted(set(identity) - {"Headers", "QueryStrings", "ReauthorizeEvery"}):
        raise TemplateError(f"{name}: the local stack does not know the identity source {', '.join(unsupported)}.")
    headers = [("header", header.lower()) for header in identity.get("Headers") or ()]
    queries = [("querystring", query) for query in identity.get("QueryStrings") or ()]
    arn_or_name = str(entry["FunctionArn"])
    return Authorizer(
        name=name,
        function=arn_or_name.split(":")[6] if arn_or_name.startswith("arn:") else arn_or_name,
        identity_sources=(*headers, *queries),
        ttl_seconds=float(identity.get("ReauthorizeEvery", _REAUTHORIZE_SECONDS)),
    )


def _cors(entry: Any) -> Cors | None:
    if not entry:
        return None
    if entry is True:
        return Cors(origins=("*",))
    if not isinstance(entry, dict):
        return Cors(origins=(str(entry).strip("'"),))
    return Cors(
        origins=tuple(entry.get("AllowOrigins") or ()),
        methods=tuple(entry.get("AllowMethods") or ()),
        headers=tuple(entry.get("AllowHeaders") or ()),
        expose=tuple(entry.get("ExposeHeaders") or ()),
        max_age_seconds=entry.get("MaxAge"),
        credentials=bool(entry.get("AllowCredentials")),
    )


def _schedules(events: JsonMapping) -> Iterator[Schedule]:
    for name, event in events.items():
        properties = event.get("Properties") or {}
        enabled = properties.get("Enabled", True) and properties.get("State", "ENABLED") == "ENABLED"
        if event.get("Type") in ("Schedule", "ScheduleV2") and enabled:
            expression = properties.get("ScheduleExpression") or properties.get("Schedule")
            yield Schedule(name, event["Type"], str(expression), properties.get("Input"))


def _merge(below: Any, above: Any) -> object:
    if isinstance(below, dict) and isinstance(above, dict) and not _is_intrinsic(below) and not _is_intrinsic(above):
        return {**below, **{key: _merge(below[key], value) if key in below else value for key, value in above.items()}}
    if isinstance(below, list) and isinstance(above, list):
        return below + above
    return above


def _is_intrinsic(value: JsonMapping) -> bool:
    return len(value) == 1 and any(key == "Ref" or str(key).startswith("Fn::") for key in value)


def _text(value: object) -> str:
    # As CloudFormation writes YAML's booleans and numbers into an environment.
    return str(value).lower() if isinstance(value, bool) else str(value)
