"""Reads what is drawn: well-formed, and by its parts."""

import re
from xml.etree import ElementTree


def read_figure(text: str) -> ElementTree.Element:
    """Return a figure's tree. Fails where a mark is not closed or not quoted."""
    return ElementTree.fromstring(re.sub(r"<i class=(f\d)>", r'<i class="\1">', text))


def find(tree: ElementTree.Element, tag: str, kind: str | None = None) -> list[ElementTree.Element]:
    """Return the elements of a tag, and of a class."""
    return [element for element in tree.iter(tag) if kind is None or element.get("class") == kind]
