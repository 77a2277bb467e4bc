"""A look at what is in the files of a configuration."""

import os
from dataclasses import replace
from pathlib import Path

from sidecar.config import Admin, Alerts, Budget, Budgets, Features, Prices, Redis, Settings, Upstream, Warming
from sidecar.edge.sources import CONFIGURATION, is_stream, look_at


def settings_of(folder: Path) -> Settings:
    """Return settings that name one file of each kind."""
    return Settings(
        admin=Admin(token_file=str(folder / "token")), upstreams={"a": Upstream("http://a", api_key_file=str(folder / "key"))},
        alerts=Alerts(str(folder / "webhook")), prices=Prices(str(folder / "prices")), warming=Warming(str(folder / "warming")),
        redis=Redis("redis://r", password_file=str(folder / "password"), encryption_key_file=str(folder / "encryption")),
        budgets=Budgets(str(folder / "ledgers" / "ledger"), all=Budget(1.0)), features=Features(budgets=True, cache=True, warming=True),
    )  # fmt: skip


READ = [
    "upstreams.a.api_key_file", "admin.token_file", "redis.password_file", "alerts.webhook_file", "redis.encryption_key_file",
    "prices.file", "warming.file",
]  # fmt: skip


def test_each_file_that_settings_name_is_looked_at(tmp_path: Path) -> None:
    """Missing, there, of other content: each is told by its setting, and only that."""
    settings, source = settings_of(tmp_path), tmp_path / "sidecar.yaml"
    nothing = look_at(str(source), settings)
    assert nothing.contents == dict.fromkeys([CONFIGURATION, *READ, "budgets.file"])
    for name in ("sidecar.yaml", "key", "token", "password", "webhook", "encryption", "prices", "warming"):
        (tmp_path / name).write_text(name)
    (tmp_path / "ledgers").mkdir()
    found = look_at(str(source), settings)
    assert None not in found.contents.values() and found == look_at(str(source), settings)
    assert set(nothing.find_changed(found)) == nothing.contents.keys()
    before = (tmp_path / "key").stat()
    (tmp_path / "key").write_text("yek")
    os.utime(tmp_path / "key", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found.find_changed(look_at(str(source), settings)) == ("upstreams.a.api_key_file",)
    assert "key" not in str(found.contents["upstreams.a.api_key_file"])


def test_only_what_is_in_use_is_looked_at(tmp_path: Path) -> None:
    """Prompts of a feature that is off, and a configuration that is no file."""
    assert look_at(None, Settings()).contents == {}
    settings = replace(settings_of(tmp_path), features=Features())
    assert look_at(None, settings).contents.keys() == set(READ) - {"warming.file"}


def test_a_volume_of_kubernetes_is_turned_as_a_whole(tmp_path: Path) -> None:
    """The same content behind another link is the same content, in another place."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sidecar.yaml").write_text("listen: a:1")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "sidecar.yaml").symlink_to("..data/sidecar.yaml")
    source = str(tmp_path / "sidecar.yaml")
    before = look_at(source, Settings())
    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    after = look_at(source, Settings())
    assert before.contents == after.contents and before.places != after.places
    assert after.places[CONFIGURATION] == str(tmp_path / "two" / "sidecar.yaml")


def test_a_pipe_is_left_alone(tmp_path: Path) -> None:
    """It is not waited for, and nothing is taken out of it; a folder, a link to itself and a bad path are nothing that can be read."""
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    assert look_at(str(pipe), Settings()).contents[CONFIGURATION] is not None
    assert [is_stream(str(path)) for path in (pipe, tmp_path, "/dev/null", loop, tmp_path / "none", "a\0b")] == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert look_at(str(loop), Settings()).contents == look_at("a\0b", Settings()).contents == {CONFIGURATION: None}
