"""`python -m tests.replay.record`: records the histories that are not there yet, from real runs on a local stack.

A history is written once. One that today's code no longer derives is a break of what stored runs rely on: mend the code
or add an upcast, and leave the file alone.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import httpx

from local.stack.stack import LocalStack
from shared.json_types import JsonObject
from tests.replay.stories import START, STORIES, Story
from tests.replay.story_runner import BROKEN, StoryRunner, server

FOLDER = Path(__file__).parent
# What `call_workflow` calls: it fails where n is a text.
CHILD = {
    "name": "child",
    "nodes": [START, {"id": "n", "type": "transform", "parameters": {"value": "{% $trigger.body.n + 1 %}"}}],
    "edges": [{"source": "start", "target": "n"}],
}
# And what fails until it is redriven.
BROKEN_CHILD = {
    "name": "broken child",
    "nodes": [START, {"id": "call", "type": "http_request", "parameters": {"method": "POST", "url": BROKEN}}],
    "edges": [{"source": "start", "target": "call"}],
}


def main() -> None:
    """Records what is missing."""
    missing = {name: story for name, story in STORIES.items() if not (FOLDER / f"{name}.json").exists()}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder, server() as port, LocalStack(Path(folder), durable=False) as stack:
        headers = {"authorization": f"Bearer {stack.api_key}"}
        with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=40) as client:
            assert client.put("/api/secrets/token", json={"value": "s3cret", "allowed_hosts": ["*"]}).is_success
            known = {"{port}": str(port), "{child}": _publish(client, CHILD)}
            known["{broken_child}"] = _publish(client, json.loads(_filled(json.dumps(BROKEN_CHILD), known)))
            for name, story in missing.items():
                history = _told(client, story, known)
                text = json.dumps({"feature": name, **history}, indent=1, ensure_ascii=False)
                (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
                print(name, history["status"], len(history["events"]), flush=True)


def _told(client: httpx.Client, story: Story, known: dict[str, str]) -> JsonObject:
    text = json.dumps({"nodes": [story.start, *story.nodes], "settings": story.settings})
    text = _filled(text, known)
    edges = []
    for edge in story.edges:
        source, target = edge.split(">")
        source, _, handle = source.partition(".")
        edges.append({"source": source, "target": target, "source_handle": handle or "out"})
    workflow_id = _publish(client, {"name": "story", "edges": edges, **json.loads(text)})
    runner = StoryRunner(client, workflow_id, None)
    if story.start == START:
        answer = client.post(f"/api/workflows/{workflow_id}/execute", json={"input": story.input})
        assert answer.is_success, answer.text
        runner.follow(answer.json())
    story.then(runner)
    client.post(f"/api/workflows/{workflow_id}/unpublish")
    return runner.history()


def _filled(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(name, value)
    return text


def _publish(client: httpx.Client, workflow: JsonObject) -> str:
    created = client.post("/api/workflows", json=workflow)
    assert created.is_success, created.text
    workflow_id: str = created.json()["id"]
    published = client.post(f"/api/workflows/{workflow_id}/publish")
    assert published.is_success, published.text
    return workflow_id


if __name__ == "__main__":
    main()
