"""Azure's deployments."""

import pytest

from sidecar.core.observe.dialects import OPENAI_CHAT
from sidecar.core.observe.dialects.deployments import read_deployment


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/openai/deployments/prod-chat/chat/completions", "prod-chat"),
        ("/azure/openai/deployments/prod%20chat/embeddings", "prod chat"),
        ("/openai/deployments/%ff/chat/completions", "\N{REPLACEMENT CHARACTER}"),
        ("/openai/deployments//chat/completions", None),
        ("/openai/v1/chat/completions", None),
        ("", None),
    ],
)
def test_the_name_is_one_segment(path: str, name: str | None) -> None:
    """After /deployments/, decoded; elsewhere there is none."""
    assert read_deployment(path) == name


def test_the_body_goes_before_the_path() -> None:
    """A model that is named in the body is what was asked for; without one the deployment is."""
    path = "/openai/deployments/d/chat/completions"
    assert OPENAI_CHAT.ask(b'{"model":"m","stream":true}', path).model == "m"
    assert OPENAI_CHAT.ask(b'{"stream":true}', path).model == "d"
    assert OPENAI_CHAT.ask(b"\xff", path).model == "d"
    assert OPENAI_CHAT.ask(b"{}", "/v1/chat/completions").model is None
