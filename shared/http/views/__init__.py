"""The shapes of responses. Only the OpenAPI document uses them: responses are not validated against them."""
