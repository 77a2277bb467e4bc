"""sidecar/simulator/prompts.py"""

from sidecar.simulator.prompts import PromptMemory


def test_a_prompt_is_new_once() -> None:
    """The second time all of a long prompt is remembered, in steps of 128 tokens."""
    memory = PromptMemory(1024)
    assert memory.recall("m", ["a", "b"], [1000, 300]) == 0
    assert memory.recall("m", ["a", "b"], [1000, 300]) == 1280


def test_a_common_beginning() -> None:
    """Only the beginning that two prompts share is remembered."""
    memory = PromptMemory(1024)
    memory.recall("m", ["a", "b"], [1024, 300])
    assert memory.recall("m", ["a", "c"], [1024, 300]) == 1024
    assert memory.recall("m", ["x", "b"], [1024, 300]) == 0


def test_a_step_of_one() -> None:
    """Where the caller marks what is to be remembered, all of it is."""
    memory = PromptMemory(1024)
    memory.recall("m", ["a"], [1100])
    assert memory.recall("m", ["a", "b"], [1100, 5], step_tokens=1) == 1100


def test_short_prompts() -> None:
    """A beginning below the least size counts as nothing."""
    memory = PromptMemory(1024)
    memory.recall("m", ["a"], [1023])
    assert memory.recall("m", ["a"], [1023]) == 0


def test_models_are_apart() -> None:
    """What one model has read another has not."""
    memory = PromptMemory(128)
    memory.recall("m", ["a"], [128])
    assert memory.recall("other", ["a"], [128]) == 0


def test_bounds() -> None:
    """The oldest prompt is forgotten first."""
    memory = PromptMemory(128, prefixes_max=2)
    for text in "abc":
        memory.recall("m", [text], [128])
    assert memory.recall("m", ["c"], [128]) == 128
    assert memory.recall("m", ["a"], [128]) == 0
