"""What ordinary events share."""

import pytest

from sidecar.core.observe.outline import outline_text

KEYS = (b'"text":"', b'"text": "')


@pytest.mark.parametrize(
    ("event", "text", "outline"),
    [
        (b'{"a":1,"text":"hi","b":2}', "hi", (b'{"a":1,"text":"', b'","b":2}')),
        (b'{"text": "hi"}', "hi", (b'{"text": "', b'"}')),
        (b'{"text":""}', "", (b'{"text":"', b'"}')),
        ('{"text":"é"}'.encode(), "é", (b'{"text":"', b'"}')),
        (b'{"text":"hi","x":{"text":"hi"}}', "hi", None),
        (b'{"text":"a\\nb"}', "a\nb", None),
        (b'{"text":"other"}', "hi", None),
        (b'{"text":"hi"}', None, None),
        (b'{"words":"hi"}', "hi", None),
    ],
)
def test_outline(event: bytes, text: object, outline: tuple[bytes, bytes] | None) -> None:
    """Only where the text stands plainly, once, and is what the parsed event has."""
    assert outline_text(event, KEYS, text) == outline


@pytest.mark.parametrize(
    ("event", "outline"),
    [
        (b'{"text":"hi","pad":"xyz"}', (b'{"text":"', b'","pad":"', b'"}')),
        (b'{"text":"hi","pad":""}', (b'{"text":"', b'","pad":"', b'"}')),
        (b'{"pad":"xyz","text":"hi"}', (b'{"pad":"xyz","text":"', b'"}')),
        (b'{"text":"hi","pad":"x","y":{"pad":"x"}}', (b'{"text":"', b'","pad":"x","y":{"pad":"x"}}')),
        (b'{"text":"hi","pad":"x\\"y"}', (b'{"text":"', b'","pad":"x\\"y"}')),
        (b'{"text":"hi"}', (b'{"text":"', b'"}')),
    ],
)
def test_what_pads_it_is_left_out_too(event: bytes, outline: tuple[bytes, ...]) -> None:
    """Where it comes once, after the text, and plainly."""
    assert outline_text(event, KEYS, "hi", (b'"pad":"',)) == outline
