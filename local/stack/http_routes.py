"""An HTTP API's OpenAPI document, as SAM writes it, spelled out in resources: for those who read no such document."""

from __future__ import annotations

from shared.json_types import JsonObject


def spelled_out(template: JsonObject) -> JsonObject:
    """The transformed template with an integration and a route for each path and method, and its authorizer."""
    resources = dict(template["Resources"])
    api_id = next(name for name, resource in resources.items() if resource["Type"] == "AWS::ApiGatewayV2::Api")
    document = resources[api_id]["Properties"]["Body"]
    resources[api_id] = {
        **resources[api_id],
        "Properties": {"Name": {"Ref": "AWS::StackName"}, "ProtocolType": "HTTP"},
    }
    for name, scheme in document["components"]["securitySchemes"].items():
        resources[f"{name}Authorizer"] = _authorizer(api_id, name, scheme["x-amazon-apigateway-authorizer"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            key = "".join(part for part in f"{method}{path}".title() if part.isalnum())
            integration = operation["x-amazon-apigateway-integration"]
            resources[f"{key}Integration"] = _integration(api_id, integration)
            resources[f"{key}Route"] = _route(api_id, f"{method.upper()} {path}", f"{key}Integration", operation)
    return {**template, "Resources": resources}


def _integration(api_id: str, integration: JsonObject) -> JsonObject:
    properties = {
        "ApiId": {"Ref": api_id},
        "IntegrationType": "AWS_PROXY",
        "IntegrationUri": integration["uri"],
        "PayloadFormatVersion": integration["payloadFormatVersion"],
    }
    return {"Type": "AWS::ApiGatewayV2::Integration", "Properties": properties}


def _route(api_id: str, key: str, integration_id: str, operation: JsonObject) -> JsonObject:
    security = [name for requirement in operation.get("security", ()) for name in requirement if name != "NONE"]
    properties = {
        "ApiId": {"Ref": api_id},
        "RouteKey": key,
        "Target": {"Fn::Join": ["/", ["integrations", {"Ref": integration_id}]]},
    }
    if security:
        properties |= {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": f"{security[0]}Authorizer"}}
    return {"Type": "AWS::ApiGatewayV2::Route", "Properties": properties}


def _authorizer(api_id: str, name: str, authorizer: JsonObject) -> JsonObject:
    properties = {
        "ApiId": {"Ref": api_id},
        "Name": name,
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": authorizer["authorizerUri"],
        "AuthorizerPayloadFormatVersion": authorizer["authorizerPayloadFormatVersion"],
        "AuthorizerResultTtlInSeconds": authorizer["authorizerResultTtlInSeconds"],
        "EnableSimpleResponses": authorizer["enableSimpleResponses"],
        "IdentitySource": authorizer["identitySource"],
    }
    return {"Type": "AWS::ApiGatewayV2::Authorizer", "Properties": properties}
