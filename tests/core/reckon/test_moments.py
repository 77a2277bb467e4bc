"""Moments as they are shown."""

from sidecar.core.reckon.moments import Present, show_moment, show_wall


def test_what_stands_on_one_clock_is_told_on_the_other() -> None:
    """Before and after the present; nothing for no moment."""
    present = Present(50.0, 1_700_000_000_000_000_000)
    assert show_wall(present.wall_ns) == "2023-11-14T22:13:20.000Z"
    assert show_moment(50.0, present) == "2023-11-14T22:13:20.000Z"
    assert show_moment(51.25, present) == "2023-11-14T22:13:21.250Z"
    assert show_moment(-10.0, present) == "2023-11-14T22:12:20.000Z"
    assert show_moment(None, present) is None
