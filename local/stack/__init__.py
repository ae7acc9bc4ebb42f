"""The service on this machine: embedded servers, and API Gateway and Lambda in miniature.

`stack` starts `postgres` with its `migrations`, `redis`, the Supabase gateway (`gateway_process`) and the functions
(`functions_process`), unless the environment names servers (`given_servers`); it makes its first `tenant`. `functions`
reads the `template` with its `intrinsics`. `http_api` finds a request's route (`routes`, `authorizer`) and makes it an
event (`http_event`), an `invocation` for a worker of the `function_pool`: a `worker_process` over the source tree,
whose other end is `function_worker`, or a `lambda_environment` that runs a built function as Lambda does. `lambda_api`
takes invocations, `schedule` makes them. `dev` keeps all of it up until Ctrl-C.
"""
