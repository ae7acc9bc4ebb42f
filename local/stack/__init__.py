"""The service on this machine: embedded servers, and API Gateway and Lambda in miniature.

`stack` starts `postgres` with its `migrations`, `redis`, the Supabase gateway (`gateway_process`) and `functions`,
whose `template` is read with its `intrinsics`. `http_api` finds a request's route (`routes`, `authorizer`) and makes it
an event (`http_event`) for a worker of the `function_pool` (`function_worker`); `lambda_api` takes invocations,
`schedule` makes them. `lambda_environment` runs a built function as Lambda does. `dev` keeps all of it up until Ctrl-C.
"""
