"""What settings and the files that they name come to."""

from pathlib import Path

import pytest

from sidecar.config import Admin, Prices, Route, Settings, Tenants, Upstream, UsageSettings
from sidecar.errors import ConfigError
from sidecar.generation import make_generation, read_material


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Keys, the token and the prices: one error, with the setting of each."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("prices: 1")
    settings = Settings(
        admin=Admin(token_file=str(tmp_path / "token")), upstreams={"a": Upstream("http://a.test", api_key_file=str(tmp_path / "key"))},
        prices=Prices(str(prices)),
    )  # fmt: skip
    with pytest.raises(ConfigError) as raised:
        read_material(settings, "a.yaml")
    assert raised.value.source == "a.yaml"
    assert [problem.path for problem in raised.value.problems] == ["upstreams.a.api_key_file", "admin.token_file", "prices"]
    (tmp_path / "key").write_text("sk-1")
    (tmp_path / "token").write_text("token")
    with pytest.raises(ConfigError) as raised:
        read_material(settings, "a.yaml")
    assert [problem.path for problem in raised.value.problems] == ["prices"]
    prices.unlink()
    with pytest.raises(ConfigError) as raised:
        read_material(settings, "a.yaml")
    assert [problem.path for problem in raised.value.problems] == ["prices.file"]


def test_what_was_read_is_put_together(tmp_path: Path) -> None:
    """Each key goes to its upstream, routes and tenants are known, and the environment says how much is sampled."""
    (tmp_path / "key").write_text("sk-1")
    settings = Settings(
        upstreams={"a": Upstream("http://a.test", api_key_file=str(tmp_path / "key")), "b": Upstream("http://b.test")},
        routes=(Route("/a/", "a"),), tenants=Tenants(default="somebody"), usage=UsageSettings(estimate=True),
    )  # fmt: skip
    material = read_material(settings, "a.yaml")
    assert (material.keys, material.token) == ({"a": "sk-1"}, None)
    made = make_generation(settings, material, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"})
    assert made.settings.tracing.ratio == 0.25
    assert [place.credential for place in made.places.values()] == [(b"Authorization: Bearer sk-1",), ()]
    assert made.router.prefixes == ["/a/"] and made.tenancy.default.name == "somebody"
    assert made.listening is not None and made.listening.estimates
    assert make_generation(Settings(), material, {}).listening is None
    with pytest.raises(ConfigError):
        make_generation(settings, material, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "lots"})
