"""The child process that evaluates tenants' expressions. It has no secrets and no connections, and may be killed.

It reads frames (four bytes of length, eight with the frame's number, then JSON) from the socket in its first argument
and answers each with one of the same number. A frame asks to fill template `t` for run `r`:

    {r, t, template?, set?: {trigger?, workflow?, execution?, item?, index?}, nodes?: {id: output}, see?: [ids],
     input: [ids] | null, outer?: [{r, set?, nodes?, see?}], now, seed, forget?: [runs], drop?: [templates]}

`template`, `set` and `nodes` come once and are kept: a run's data is not sent again for each of its nodes. Of the
nodes that are kept, `$nodes` holds only those in `see`. An item of a map counts as a run of its own here, and `outer`
names the runs around it, outwards; `input: null` is the item. The answer is `{parameters, undefined}` or
`{error: {pointer, message, code}}`, or `{lost: reason}` where the frame could not be taken in: then nothing that came
with it is kept. Before it evaluates, the number of the frame is written into the shared memory of the second argument,
so that the parent, when it kills this process, knows which evaluation was running.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import socket
import struct
import sys
import threading
from pathlib import Path

from shared.domain.expressions.templates import Template, TemplateError, compile_template, fill, reads
from shared.domain.json.values import MAX_DEPTH, deeper_than
from shared.engine.expressions.confinement import confine_this_process, keep_only
from shared.json_types import JsonObject

# Before each frame: how many bytes it has, and its number.
HEADER = struct.Struct("<IQ")
PROGRESS = struct.Struct("<Q")
# What the limits of `shared/domain/expressions/expressions.py` need at their deepest.
STACK_BYTES = 256 * 1024 * 1024
# Of a node's parameters when they are filled in, as JSON.
MAX_ANSWER_BYTES = 1_048_576
# A template may be as deep as a body, and so may a value that is filled into it.
MAX_ANSWER_DEPTH = 2 * MAX_DEPTH
_CHUNK_BYTES = 1_048_576


class Evaluator:
    """Evaluates frames, and keeps the templates and runs' data that came with them."""

    def __init__(self, progress: mmap.mmap) -> None:
        self._progress = progress
        self._templates: dict[int, tuple[Template, tuple[str, ...]]] = {}
        self._runs: dict[int, JsonObject] = {}

    def answer(self, number: int, frame: bytes) -> bytes:
        """The encoded answer to one frame. Raises nothing: an error is the answer, and other frames go on."""
        PROGRESS.pack_into(self._progress, 0, number)
        try:
            request = json.loads(frame)
            scope, (template, names) = self._scope(request), self._template(request)
            # Workflow versions from before `$$` was refused see the whole scope through it. It is cut down to the names
            # that the template reads: what else of the run has been sent so far must not change a result.
            scope = {name: scope[name] for name in names if name in scope}
        except Exception as error:  # noqa: BLE001  # the parent learns the error, and sends all that is missing
            text = _encoded({"lost": repr(error)})
        else:
            text = self._filled(template, scope, request["now"], request["seed"])
        PROGRESS.pack_into(self._progress, 0, 0)
        return text

    def _filled(self, template: Template, scope: JsonObject, now: int, seed: int) -> bytes:
        undefined: list[str] = []
        try:
            parameters = fill(template, scope, now, seed, undefined)
            text = _encoded({"parameters": parameters, "undefined": undefined})
            if text.count(b"[") + text.count(b"{") > MAX_ANSWER_DEPTH and deeper_than(parameters, MAX_ANSWER_DEPTH):
                return _failed("", f"The parameters are nested more than {MAX_ANSWER_DEPTH} levels deep.", "limit")
        except TemplateError as error:
            return _failed(error.pointer, error.message, error.code)
        except RecursionError:
            return _failed("", "The parameters are nested too deeply.", "limit")
        except Exception as error:  # noqa: BLE001  # one expression's error must not end the process
            return _failed("", f"The parameters could not be filled in: {type(error).__name__}.", "limit")
        if len(text) > MAX_ANSWER_BYTES:
            return _failed("", f"The parameters are larger than {MAX_ANSWER_BYTES} bytes.", "limit")
        return text

    def _template(self, request: JsonObject) -> tuple[Template, tuple[str, ...]]:
        for dropped in request.get("drop", ()):
            self._templates.pop(dropped, None)
        name = request["t"]
        if "template" in request:
            template = compile_template(request["template"])
            self._templates[name] = template, tuple({"nodes": 0, **reads(template)})
        return self._templates[name]

    def _scope(self, request: JsonObject) -> JsonObject:
        for forgotten in request.get("forget", ()):
            self._runs.pop(forgotten, None)
        own = self._run_data(request)
        scope, visible = {}, {}
        # From the outermost graph inwards: an inner name shadows the same name outside.
        for level in (*reversed(request.get("outer", ())), request):
            data = own if level is request else self._run_data(level)
            scope.update(data)
            visible.update({node_id: data["nodes"][node_id] for node_id in level.get("see", ())})
        sources, nodes = request["input"], own["nodes"]
        if sources is None:
            scope["input"] = scope["item"]
        elif sources:
            scope["input"] = nodes[sources[0]] if len(sources) == 1 else {source: nodes[source] for source in sources}
        return {**scope, "nodes": visible}

    def _run_data(self, level: JsonObject) -> JsonObject:
        """The data of one run, or of one item, that has been sent so far, this frame's included."""
        data = self._runs.get(level["r"])
        if data is None:
            data = self._runs[level["r"]] = {"nodes": {}}
        if "set" in level:
            data.update(level["set"])
        if "nodes" in level:
            data["nodes"].update(level["nodes"])
        return data


def _failed(pointer: str, message: str, code: str | None) -> bytes:
    return _encoded({"error": {"pointer": pointer, "message": message, "code": code}})


def _encoded(answer: JsonObject) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def serve(connection: socket.socket, evaluator: Evaluator) -> None:
    """Answers frames until the parent closes the socket."""
    buffer = bytearray()
    while chunk := connection.recv(_CHUNK_BYTES):
        buffer += chunk
        position, answers = 0, bytearray()
        while len(buffer) - position >= HEADER.size:
            size, number = HEADER.unpack_from(buffer, position)
            if len(buffer) - position - HEADER.size < size:
                break
            start = position + HEADER.size
            text = evaluator.answer(number, bytes(buffer[start : start + size]))
            answers += HEADER.pack(len(text), number) + text
            position = start + size
        del buffer[:position]
        if answers:
            connection.sendall(answers)


def main(arguments: list[str]) -> None:
    """Serves the socket and the shared memory whose file descriptors are given."""
    connection = socket.socket(fileno=int(arguments[0]))
    progress = mmap.mmap(int(arguments[1]), PROGRESS.size)
    keep_only(connection.fileno())
    with contextlib.suppress(OSError):
        # Where memory runs out, the kernel kills this process first, and not the parent, which holds the runs.
        Path("/proc/self/oom_score_adj").write_text("1000")
    # Answers hold no reference cycles; looking for some would cost more than all else here.
    gc.freeze()
    gc.set_threshold(100_000)
    # The main thread's stack is as large as the system allows, which expressions at their deepest may exceed.
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=_serve_quietly, args=(connection, Evaluator(progress)))
    thread.start()
    thread.join()


def _serve_quietly(connection: socket.socket, evaluator: Evaluator) -> None:
    # All that is needed is imported and open, and this thread is the last one.
    confine_this_process()
    # The parent may die at any time.
    with contextlib.suppress(ConnectionError):
        serve(connection, evaluator)


if __name__ == "__main__":
    main(sys.argv[1:])
