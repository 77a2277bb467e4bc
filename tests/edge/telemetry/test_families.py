"""The live families."""

from sidecar import catalogue
from sidecar.catalogue import LabelKind
from sidecar.edge.telemetry.families import Families


def test_every_metric_of_the_catalogue_is_live() -> None:
    """There is exactly one family for each declared metric, in the catalogue's order."""
    assert [family.metric for family in Families(100).all] == list(catalogue.METRICS)


def test_closed_series_exist_from_the_start() -> None:
    """A metric with closed labels only has a child for each value, at 0, before any traffic, but for what may not be there or known."""
    families = Families(100)
    for family in families.all:
        labels = family.metric.labels
        expected = [label.values for label in labels if label.kind is LabelKind.CLOSED]
        if family in (families.shared_up, families.memory_limit):
            assert family.children == []
        elif not labels:
            assert len(family.children) == 1
        elif len(labels) == len(expected) == 1:
            assert [child.labels for child in family.children] == [f'{labels[0].name}="{value}"' for value in expected[0]]
        else:
            assert family.children == []


def test_upstreams_exist_from_the_start() -> None:
    """Each configured upstream has a counter per outcome and a gauge per state of connections."""
    families = Families(1000)
    families.create_upstreams(["a", "b"])
    assert len(families.attempts.children) == 2 * len(catalogue.ATTEMPTS.labels[1].values)
    assert len(families.upstream_connections.children) == 4
    assert {child.value for child in families.attempts.children} == {0}
