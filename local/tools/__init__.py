"""Commands beside the stack: each is a module with a `main`, listed in `local.__main__`.

`catalog` and `openapi` write generated pages, `artifacts` is what `sam build` calls, `invoke` and `smoke_aws` run what
was built. `rebuild` makes the read models again (`read_models`). `send` signs a `sample_delivery`, `verify` explains
deliveries offline, `sink` answers everything, `api_key` makes a tenant's first key, `sample_world` what the samples
need.
"""
