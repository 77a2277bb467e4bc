"""YAML as people write it: keys in their order, texts of several lines as blocks."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Indents the items of lists, and knows no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent, whatever is within."""
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)


def dump_yaml(tree: Any, head: str = "") -> str:
    """Return a document; `head` comes before it as comment, its lines without `#`."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    return comment + yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
