"""sidecar/simulator/script.py"""

import pytest

from sidecar.simulator.script import Fault, Script, ScriptError, read_script, read_scripts


@pytest.mark.parametrize("text", [None, "", b""])
def test_nothing_told(text: str | bytes | None) -> None:
    """No script, or an empty one, tells nothing."""
    assert read_script(text) == Script()


def test_members() -> None:
    """Members of the JSON become fields, the fault by its name."""
    script = read_script('{"fault": "reset", "after_chunks": 3, "gap_ms": 1.5}')
    assert (script.fault, script.after_chunks, script.gap_ms) == (Fault.RESET, 3, 1.5)


def test_a_status_alone_is_a_fault() -> None:
    """A status without a fault means the fault `status`."""
    assert read_script('{"status": 529}').fault is Fault.STATUS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"falt": "reset"}', "falt"), ('{"fault": "explode"}', "explode"), ("{", "truncated"), ("[]", "object"),
        ('{"status": 200}', "400"),
        ('{"fault": "status"}', "needs `status`"), ('{"tokens": -1}', "tokens"), (b'{"fault": "\xff"}', "utf-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed(text: str | bytes, reason: str) -> None:
    """A script with a mistake is refused, and the reason names it."""
    with pytest.raises(ScriptError, match=reason):
        read_script(text)


def test_several() -> None:
    """A queue takes one script or a list of them."""
    assert read_scripts(b'{"tokens": 1}') == [Script(tokens=1)]
    assert [script.tokens for script in read_scripts(b'[{"tokens": 1}, {"tokens": 2}]')] == [1, 2]
    with pytest.raises(ScriptError):
        read_scripts(b"nothing")
