"""One execution environment of a function: a process that answers one invocation after another on a socket.

Started by `function_pool` as `python -m local.stack.function_worker <descriptor> <handler>`. Frames, all big-endian:

    ready          B                                  1 once the handler is imported, 2 once that has failed
    invocation     I d 36s + payload                  length, deadline as Unix time, request id
    answer         B I + payload                      0 result or 1 error, length

A closed socket means that nobody needs this process any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import math
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from local.stack.clock import follow_clock, machine_time
from shared.json_types import JsonObject

INVOCATION = struct.Struct(">Id36s")
ANSWER = struct.Struct(">BI")
READY, FAILED_IMPORT = b"\x01", b"\x02"
RESULT, ERROR = 0, 1
_MAX_ANSWER_BYTES = 6_291_556  # Lambda's six megabytes, and a little for its own envelope

Handler = Callable[[object, "LambdaContext"], Any]


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The second argument of a handler, as in Lambda's Python runtime."""

    aws_request_id: str
    deadline: float
    function_name: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    log_group_name: str
    log_stream_name: str
    function_version: str = "$LATEST"
    client_context: None = None
    identity: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the process is killed."""
        return max(0, math.floor((self.deadline - machine_time()) * 1000))

    def log(self, message: object) -> None:
        """Write to the function's log."""
        sys.stdout.write(str(message))


class _FailedImport:
    """A handler that answers every invocation with the reason why there is none."""

    def __init__(self, kind: str, message: str, trace: list[str]) -> None:
        self.error = {"errorMessage": message, "errorType": kind, "requestId": "", "stackTrace": trace}


def main(descriptor: int, handler_name: str) -> None:
    """Serve invocations until the socket is closed."""
    _die_with_parent()
    # Interrupts are for the stack, which closes the socket when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    follow_clock()
    handler = _load(handler_name)
    environment = os.environ
    name = environment["AWS_LAMBDA_FUNCTION_NAME"]
    arn = environment["LOCAL_FUNCTION_ARN"]
    memory = environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    group, stream = environment["AWS_LAMBDA_LOG_GROUP_NAME"], environment["AWS_LAMBDA_LOG_STREAM_NAME"]
    # A closed socket is the end in either direction, and no error.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), connection, connection.makefile("rb") as incoming:
        connection.sendall(FAILED_IMPORT if isinstance(handler, _FailedImport) else READY)
        while head := incoming.read(INVOCATION.size):
            size_bytes, deadline, request_id = INVOCATION.unpack(head)
            payload = incoming.read(size_bytes)
            context = LambdaContext(request_id.decode(), deadline, name, memory, arn, group, stream)
            kind, answer = _answer(handler, payload, context)
            connection.sendall(ANSWER.pack(kind, len(answer)) + answer)
            if isinstance(handler, _FailedImport):
                return  # Lambda, too, starts a new process after a failed import


def _load(name: str) -> Handler | _FailedImport:
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except SyntaxError as error:
        return _FailedImport(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", _trace()
        )
    except ImportError as error:
        _show_error("Runtime.ImportModuleError", error)
        message = f"Unable to import module '{module_name}': {error}"
        return _FailedImport("Runtime.ImportModuleError", message, [])
    except Exception as error:  # noqa: BLE001 -- whatever a module raises at import is the function's own error
        _show_error(type(error).__name__, error)
        return _FailedImport(type(error).__name__, str(error), _trace())
    handler: Handler | None = getattr(module, attribute, None)
    if handler is None:
        message = f"Handler '{attribute}' missing on module '{module_name}'"
        return _FailedImport("Runtime.HandlerNotFound", message, [])
    return handler


def _answer(handler: Handler | _FailedImport, payload: bytes, context: LambdaContext) -> tuple[int, bytes]:
    if isinstance(handler, _FailedImport):
        return ERROR, _encode(handler.error)
    try:
        result = handler(json.loads(payload), context)
    except Exception as error:  # noqa: BLE001 -- the edge of the function: the runtime turns any error into an answer
        return ERROR, _encode(_described(type(error).__name__, str(error), error, context))
    try:
        answer = _encode(result)
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return ERROR, _encode(_described("Runtime.MarshalError", message, error, context))
    if len(answer) > _MAX_ANSWER_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({_MAX_ANSWER_BYTES} bytes)."
        return ERROR, _encode({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message})
    return RESULT, answer


def _described(kind: str, message: str, error: Exception, context: LambdaContext) -> JsonObject:
    _show_error(kind, error)
    # Without this module's own frames, as the real runtime shows it.
    trace = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    return {
        "errorMessage": message,
        "errorType": kind,
        "requestId": context.aws_request_id,
        "stackTrace": trace,
    }


def _show_error(kind: str, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(f"[ERROR] {kind}: {error}\n{text}")
    sys.stderr.flush()


def _trace() -> list[str]:
    return traceback.format_exc().splitlines(keepends=True)


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_default).encode(
        "utf-8", "surrogatepass"
    )


def _json_default(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG of linux/prctl.h.
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != int(os.environ["LOCAL_PARENT_PID"]):
            os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
