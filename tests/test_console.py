"""What the admin port answers of one generation, and of the next."""

import json
from pathlib import Path

import httpx

from sidecar.app import Sidecar
from sidecar.config import Admin, Budget, Budgets, Features, Pool, Route, Settings, Upstream
from sidecar.core.settings.resolution import Loaded

OLD = Settings(
    listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"), upstreams={"a": Upstream("http://a.test")}, routes=(Route("/a/", "a"),),
    features=Features(probes=False),
)  # fmt: skip


async def test_it_follows_the_settings(tmp_path: Path) -> None:
    """Upstreams, pools, routes, budgets and the token are those in force; what is gone is not answered any more."""
    token = tmp_path / "token"
    token.write_text("operators")
    loaded = [OLD]
    sidecar = Sidecar(OLD, {}, load=lambda _: Loaded(loaded[0], {}, "a program"))
    await sidecar.start()
    try:
        async with httpx.AsyncClient(base_url=sidecar.admin_url, trust_env=False) as client:
            assert (await client.post("/api/upstreams/a/breaker", json={"force": "auto"})).status_code == 200
            assert (await client.get("/api/budgets")).status_code == 404
            page = (await client.get("/")).text
            assert "/a/" in page and "http://a.test" in page
            loaded[0] = Settings(
                listen="127.0.0.1:0", admin=Admin("127.0.0.1:0", str(token)), upstreams={"b": Upstream("http://b.test"), "c": Upstream("http://c.test")},
                pools={"p": Pool(("b", "c"))}, routes=(Route("/p/", pool="p"),), budgets=Budgets(all=Budget(1.0)),
                features=Features(probes=False, budgets=True),
            )  # fmt: skip
            told = await client.post("/-/reload", json={})
            assert told.status_code == 200 and "admin.token_file" in told.json()["changed"], told.text
            assert (await client.post("/-/reload", json={})).status_code == 401
            client.headers["Authorization"] = "Bearer operators"
            assert (await client.post("/-/reload")).json()["changed"] == []
            assert (await client.post("/api/upstreams/a/breaker", json={"force": "auto"})).status_code == 404
            assert (await client.post("/api/upstreams/b/breaker", json={"force": "auto"})).status_code == 200
            upstreams = (await client.get("/api/upstreams")).json()["upstreams"]
            assert [(each["name"], each["pools"]) for each in upstreams] == [("b", ["p"]), ("c", ["p"])]
            assert (await client.get("/api/budgets")).json()["budgets"][0]["limit_usd"] == 1.0
            page = (await client.get("/")).text
            assert "http://a.test" not in page and "http://b.test, http://c.test" in page
            token.unlink()
            failed = await client.post("/-/reload")
            assert failed.status_code == 500
            assert [problem["path"] for problem in failed.json()["problems"]] == ["admin.token_file"]
            assert "operators" not in json.dumps(failed.json()) + (await client.get("/health")).text
    finally:
        await sidecar.stop()
