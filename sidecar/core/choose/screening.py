"""Which upstreams of a pool could take a call, and why the others could not."""

from typing import Final, NamedTuple

from sidecar.core.choose import reasons
from sidecar.core.choose.needs import NO_NEEDS, Needs
from sidecar.core.choose.neighbours import Admission, Holds
from sidecar.core.choose.rosters import Roster, Seat
from sidecar.core.choose.standings import Standing
from sidecar.core.choose.transitions import State
from sidecar.core.identify.wishes import NO_WISHES, Wishes

_CLOSED: Final = State.CLOSED
_OPEN: Final = State.OPEN
_PLAIN: Final = NO_NEEDS[1:6]  # what may speak against an upstream
_NONE: Final[frozenset[str]] = frozenset()


class Screening(NamedTuple):
    """A pool in the eyes of one call. Who is in `fit`, `trials`, `held` or `aside` may be chosen, in this order, and has room."""

    why: list[str | None]  # by place in the roster: why one could not be chosen, or not before others; None where it could
    fit: list[Seat]
    trials: list[Seat]  # half-open, with a place for one more
    held: list[tuple[float, Seat]]  # until when
    aside: list[Seat]  # ejected, or its probe fails; where too few are left they are among the fit
    full: list[Seat]  # would be fit or on trial, but have no room
    full_last: list[Seat]  # would be held or aside, but have no room
    cut_off: list[Seat]  # their breakers let nothing through
    unmet: list[Seat]  # not to be chosen only because of the caller's wishes
    is_all_open: bool  # every breaker of the pool is open


def screen(roster: Roster, needs: Needs, holds: Holds, admission: Admission, now: float) -> Screening:
    """Sort a pool's upstreams by whether they could take a call."""
    found = Screening([], [], [], [], [], [], [], [], [], all(seat.standing.breaker.state(now) is _OPEN for seat in roster.seats))
    is_picky, refused, model, credential = needs[1:6] != _PLAIN, _list_refused(roster, needs), needs.model, needs.credential
    has_room, until_of, fit, whys = admission.has_room, holds.until, found.fit, found.why
    left = 0
    for seat in roster.seats:
        standing = seat.standing
        post = standing.post
        state = standing.breaker.state(now)
        is_aside = seat.ejected_until > now or post.is_down
        until = until_of((post.mark, model, "" if post.credential else credential), now)
        why = find_obstacle(standing, needs, refused, now) if is_picky else None
        admits = state is _CLOSED or standing.breaker.admits(now)
        if admits and not is_aside and until is None:
            left += 1
            if why is None and state is _CLOSED and has_room(post.name):  # as nearly always
                fit.append(seat)
                whys.append(None)
                continue
        if why is not None:
            if admits and why in reasons.ESTIMATED_WISHES:
                found.unmet.append(seat)
            whys.append(why)
        elif not admits:
            found.cut_off.append(seat)
            whys.append(reasons.CIRCUIT_OPEN)
        else:
            whys.append(_place(found, seat, until, has_room(post.name), is_trial=state is not _CLOSED, is_aside=is_aside))
    if found.aside and left < roster.balancing.panic * len(roster.seats):
        _panic(found)
    return found


def _place(found: Screening, seat: Seat, held_until: float | None, has_room: bool, *, is_trial: bool, is_aside: bool) -> str | None:
    """Put an upstream that its breaker lets calls through to where it belongs; return why it is not simply fit."""
    post = seat.standing.post
    if held_until is not None:
        post.held_until = max(post.held_until, held_until)
    if not has_room:
        (found.full_last if held_until is not None or is_aside else found.full).append(seat)
        return reasons.NO_ROOM
    if held_until is not None:
        found.held.append((held_until, seat))
        return reasons.HELD
    if is_aside:
        found.aside.append(seat)
        return reasons.DOWN if post.is_down else reasons.EJECTED
    if is_trial:
        found.trials.append(seat)
        return reasons.ON_TRIAL
    found.fit.append(seat)
    return None


def _panic(found: Screening) -> None:
    """Too few are left: those set aside are asked like all others, for the few would not stand it.

    Open breakers are no part of it: who is set aside only compares badly with the others, who is cut off is known to fail.
    """
    for seat in found.aside:
        found.why[seat.place] = None
    found.fit.extend(found.aside)
    found.aside.clear()


def find_obstacle(standing: Standing, needs: Needs, refused: frozenset[str], now: float) -> str | None:
    """Return what about this call speaks against an upstream; None: nothing. `refused`: credentials."""
    post, wishes = standing.post, needs.wishes
    if post.name in needs.tried:
        return reasons.TRIED
    if post.name in needs.no_longer:
        return reasons.SILENT
    if post.credential in refused:
        return reasons.CREDENTIALS
    if needs.context_above is not None and (post.context is None or post.context <= needs.context_above):
        return reasons.CONTEXT
    if wishes is NO_WISHES:
        return None
    if post.name in wishes.exclude:
        return reasons.EXCLUDED
    unmet = list_unmet(standing, wishes, now)
    return unmet[0] if unmet else None


def list_unmet(standing: Standing, wishes: Wishes, now: float) -> list[str]:
    """Return the wishes that an upstream is not expected to meet. What is unknown is held against nobody."""
    track = standing.track
    if now >= track.stale_at:
        track.sum_up(now)
    quality, mean_s, reliability = standing.post.quality, track.mean_s, track.reliability
    unmet = []
    if wishes.max_response_time_s is not None and mean_s is not None and mean_s > wishes.max_response_time_s:
        unmet.append(reasons.TOO_SLOW)
    if wishes.min_quality is not None and quality is not None and quality < wishes.min_quality:
        unmet.append(reasons.TOO_PLAIN)
    if wishes.min_reliability is not None and reliability is not None and reliability < wishes.min_reliability:
        unmet.append(reasons.TOO_UNRELIABLE)
    return unmet


def name_refusal(found: Screening) -> str:
    """Return why nobody is chosen: what waiting would help against comes first."""
    if found.full or found.full_last:
        return reasons.NO_ROOM
    if found.cut_off:
        return reasons.CIRCUIT_OPEN
    return reasons.WISH_UNMET if found.unmet or reasons.PER_CALL.isdisjoint(found.why) else reasons.EXHAUSTED


def _list_refused(roster: Roster, needs: Needs) -> frozenset[str]:
    """Return the credentials that upstreams have refused: each as its key file's name, "" for the caller's own."""
    if needs.other_credentials_than is None:
        return _NONE
    return frozenset(seat.standing.post.credential for seat in roster.seats if seat.standing.post.name in needs.other_credentials_than)
