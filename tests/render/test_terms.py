"""The other terms that everything is rendered with are other in everything."""

from tests.render.terms import DEFAULT, OTHER


def test_every_limit_is_another() -> None:
    """Severities, targets, grades, bands, guards, the objective and links: none is left as it was."""
    for name, threshold in DEFAULT.thresholds._asdict().items():
        other = getattr(OTHER.thresholds, name)
        for limit in ("info", "warning", "critical", "target", "grades"):
            is_same = getattr(threshold, limit) == getattr(other, limit)
            assert is_same == (getattr(threshold, limit) is None), (name, limit)
        assert [band.limit == changed.limit for band, changed in zip(threshold.bands, other.bands, strict=True)] == [
            band.limit is None for band in threshold.bands
        ]
    for part in ("traffic", "objective", "links"):
        pairs = zip(getattr(DEFAULT, part), getattr(OTHER, part), strict=True)
        assert [value for value, other in pairs if value == other] == [], part
