"""Feedback and events, by HTTP, to a sidecar that has two upstreams to choose from."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.rig.process import RunningSidecar, run_sidecar, run_simulator

TOKEN = "a-token"
CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def read_quality(admin: httpx.Client) -> dict[str, float | None]:
    """Return what is expected of each upstream."""
    return {upstream["name"]: upstream["quality"] for upstream in admin.get("/api/upstreams").json()["upstreams"]}


def ask(side: RunningSidecar, prefer: str = "") -> tuple[str, str]:
    """Make a call; return its id and who answered."""
    headers = {"x-sidecar-prefer": prefer} if prefer else {}
    answer = httpx.post(f"{side.url}/chat/v1/chat/completions", json=CHAT, headers=headers, timeout=10)
    assert answer.status_code == 200
    return answer.headers["x-sidecar-request-id"], answer.headers["x-sidecar-upstream"]


def test_ratings_move_calls_and_bad_ones_do_nothing(tmp_path: Path) -> None:
    """Who is rated low is asked no more; each bad request gets its status and a sentence, and no comment is written anywhere."""
    (tmp_path / "token").write_text(TOKEN + "\n", encoding="utf-8")
    more: dict[str, Any] = {
        "pools": {"chat": {"upstreams": ["one", "two"], "strategy": "performance"}},
        "routes": [{"prefix": "/chat/", "pool": "chat"}],
        "log": {"calls": "all"},
    }
    with run_simulator(tmp_path, {"speed": 0}) as provider:
        more["upstreams"] = {name: {"url": provider, "provider": "openai"} for name in ("one", "two")}
        environ = {"LLM_SIDECAR__ADMIN__TOKEN_FILE": str(tmp_path / "token")}
        with run_sidecar(tmp_path, provider, environ, **more) as side, httpx.Client(base_url=side.admin_url, trust_env=False) as admin:
            for number in range(40):  # who was slow once is asked too seldom to be known, else
                call, upstream = ask(side, "two" if number % 2 else "")
                said = {"request_id": call, "quality": 0.1 if upstream == "one" else 0.9, "comment": "a-secret"}
                assert admin.post("/api/feedback", json=said, headers=BEARER).status_code == 200
            quality = read_quality(admin)
            assert quality["two"] is not None and (quality["one"] is None or quality["one"] < 0.2 < quality["two"])
            for _ in range(10):  # known as bad
                rate_until_known(side, admin)
            assert [ask(side)[1] for _ in range(5)] == ["two"] * 5
            check_refusals(admin)
            assert admin.post("/api/events", json={"name": "deployed", "labels": {"version": "2"}}, headers=BEARER).status_code == 200
            assert admin.get("/api/events").json()["counts"] == {"deployed": 1}
    assert "a-secret" not in side.program.output
    events = [json.loads(line) for line in side.program.output.splitlines() if "application_event" in line]
    assert [(event["name"], event["labels"]) for event in events] == [("deployed", "version=2")]


def rate_until_known(side: RunningSidecar, admin: httpx.Client) -> None:
    """Rate one call of the upstream that is rated low, if it is asked at all."""
    answer = httpx.post(f"{side.url}/chat/v1/chat/completions", json=CHAT, headers={"x-sidecar-prefer": "one"}, timeout=10)
    said = {"request_id": answer.headers["x-sidecar-request-id"], "quality": 0.1 if answer.headers["x-sidecar-upstream"] == "one" else 0.9}
    assert admin.post("/api/feedback", json=said, headers=BEARER).status_code == 200


def check_refusals(admin: httpx.Client) -> None:
    """401, 400, 404, 413, each with what was wrong."""
    good = {"request_id": "unknown", "quality": 1}
    for path, body, headers, status in (
        ("/api/feedback", json.dumps(good), {}, 401),
        ("/api/events", '{"name": "a"}', {"Authorization": "Bearer wrong"}, 401),
        ("/api/feedback", "{", BEARER, 400),
        ("/api/feedback", '{"request_id": "a", "quality": 7}', BEARER, 400),
        ("/api/events", '{"name": "NO"}', BEARER, 400),
        ("/api/feedback", json.dumps(good), BEARER, 404),
        ("/api/feedback", " " * 20_000, BEARER, 413),
        ("/api/events", " " * 20_000, BEARER, 413),
    ):
        refused = admin.post(path, content=body, headers=headers)
        assert (refused.status_code, list(refused.json())) == (status, ["error"]), (path, body[:50])
        assert len(refused.json()["error"]) > 20
