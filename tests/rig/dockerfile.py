"""Reads a Dockerfile: its stages, and what each instruction says."""

import json
import re
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction; `words` of what follows its name, or the list of an exec form."""

    name: str
    text: str
    words: tuple[str, ...]
    is_exec: bool


class Stage(NamedTuple):
    """What is between one FROM and the next."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def find(self, name: str) -> list[Instruction]:
        """Return all instructions of a name."""
        return [found for found in self.instructions if found.name == name]

    def read_pairs(self, name: str) -> dict[str, str]:
        """Return what `NAME key=value …` says, of ARG, ENV and LABEL."""
        pairs: dict[str, str] = {}
        for found in self.find(name):
            for key, quoted, bare in re.findall(r'([\w.]+)(?:=(?:"([^"]*)"|(\S*)))?', found.text):
                pairs[key] = quoted or bare
        return pairs


def read_dockerfile(path: Path) -> tuple[tuple[Instruction, ...], tuple[Stage, ...]]:
    """Return what stands before the first FROM, and the stages."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first: list[Instruction] = []
    stages: list[tuple[str, str, list[Instruction]]] = []
    for text in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction = _read_instruction(text)
        if instruction.name == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            stages.append((base, name, []))
        else:
            (stages[-1][2] if stages else first).append(instruction)
    return tuple(first), tuple(Stage(base, name, tuple(found)) for base, name, found in stages)


def _read_instruction(line: str) -> Instruction:
    name, _, text = line.strip().partition(" ")
    text = text.strip()
    if text.startswith("["):
        return Instruction(name, text, tuple(json.loads(text)), True)
    return Instruction(name, text, tuple(text.split()), False)
