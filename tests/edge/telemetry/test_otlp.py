"""Whether and where spans go."""

import pytest

from sidecar.config import Tracing
from sidecar.edge.telemetry.otlp import Export, read_export, read_ratio, read_resource
from sidecar.errors import ConfigError

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def read(tracing: Tracing | None = None, **environ: str) -> Export:
    """Return the export of these settings, which must be there."""
    export = read_export(tracing or Tracing(), environ)
    assert export is not None
    return export


@pytest.mark.parametrize(
    "environ",
    [{}, HERE | {"OTEL_SDK_DISABLED": "true"}, HERE | {"OTEL_TRACES_EXPORTER": "none"}, HERE | {"OTEL_TRACES_EXPORTER": "console"}],
)
def test_nobody_asked(environ: dict[str, str]) -> None:
    """Without an endpoint, or where it is switched off, there is no export."""
    assert read_export(Tracing(), environ) is None


@pytest.mark.parametrize(
    ("tracing", "environ", "endpoint"),
    [
        (Tracing(), HERE, "http://collector:4318/v1/traces"),
        (Tracing(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base/"}, "https://c/base/v1/traces"),
        (Tracing(), HERE | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
        (Tracing(endpoint="http://own:1"), HERE, "http://own:1/v1/traces"),
        (Tracing(endpoint="http://own:1/v1/traces"), {}, "http://own:1/v1/traces"),
        (Tracing(), {"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        (Tracing(protocol="grpc", endpoint="http://own:4317"), {}, "http://own:4317"),
        (Tracing(), {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317"),
    ],
)
def test_the_endpoint(tracing: Tracing, environ: dict[str, str], endpoint: str) -> None:
    """Our setting wins, a base URL gets the path, the traces variable is taken as it is."""
    assert read(tracing, **environ).endpoint == endpoint


def test_the_standard_variables() -> None:
    """Headers, timeout, compression, certificates and batch sizes come from the environment."""
    export = read(
        **HERE, OTEL_EXPORTER_OTLP_HEADERS="Api-Key=a%20b, x=1", OTEL_EXPORTER_OTLP_TIMEOUT="3", OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_CERTIFICATE="/ca", OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE="/cert", OTEL_EXPORTER_OTLP_CLIENT_KEY="/key",
        OTEL_BSP_MAX_QUEUE_SIZE="30", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="9", OTEL_BSP_SCHEDULE_DELAY="250",
    )  # fmt: skip
    assert export == Export(
        "http://collector:4318/v1/traces", "http/protobuf", (("api-key", "a b"), ("x", "1")), 3.0, True, "/ca", "/cert", "/key", 30, 9, 0.25
    )


def test_the_variables_of_traces_win() -> None:
    """A variable for traces goes before the one for every signal; unset ones have defaults."""
    export = read(**HERE, OTEL_EXPORTER_OTLP_TIMEOUT="3", OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="4", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc")
    assert (export.timeout_s, export.protocol, export.queue_spans, export.is_compressed) == (4.0, "grpc", 2048, False)


def test_all_problems_at_once() -> None:
    """Each bad value is named with where it stands; credentials are not shown."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://user:secret@host",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_BSP_SCHEDULE_DELAY": "-1",
    }
    with pytest.raises(ConfigError) as caught:
        read_export(Tracing(), environ)
    assert {problem.path for problem in caught.value.problems} == set(environ)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"tracing\.endpoint"):
        read_export(Tracing(endpoint="collector:4318"), {})


@pytest.mark.parametrize(
    ("tracing", "environ", "ratio"),
    [
        (Tracing(), {}, 1.0),
        (Tracing(ratio=0.5), {"OTEL_TRACES_SAMPLER": "always_off"}, 0.5),
        (Tracing(), {"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        (Tracing(), {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, 1.0),
        (Tracing(), {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, 0.25),
        (Tracing(), {"OTEL_TRACES_SAMPLER": "traceidratio"}, 1.0),
        (Tracing(), {"OTEL_TRACES_SAMPLER": "jaeger_remote"}, 1.0),
    ],
)
def test_the_ratio(tracing: Tracing, environ: dict[str, str], ratio: float) -> None:
    """Our ratio wins where it was set, else the standard sampler's."""
    assert read_ratio(tracing, environ) == ratio


def test_a_ratio_beyond_one_is_a_problem() -> None:
    """A sampler argument that is no ratio is named."""
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER_ARG"):
        read_ratio(Tracing(), {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "25"})


def test_the_resource() -> None:
    """The service's name and attributes come from the standard variables, the name's own first."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=prod%20eu", "OTEL_SERVICE_NAME": "b"}
    resource = read_resource(environ, version="1.0", instance_id="i")
    assert resource["service.name"] == "b"
    assert resource["deployment.environment.name"] == "prod eu"
    assert resource["service.instance.id"] == "i"
    assert read_resource({}, version="1.0", instance_id="i")["service.name"] == "llm-sidecar"
