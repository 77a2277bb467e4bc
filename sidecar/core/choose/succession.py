"""What is known of upstreams when settings change: what stays, what begins anew, and what nobody looks at any more.

An upstream stays that is the same place under the same name. Standings stay with their breakers: one for each group of models that
is still there. Rosters are always new ones, so that those who left are seen in none; whose turn it is, and who is set aside, stays.
"""

from collections.abc import Mapping

from sidecar.config import Settings
from sidecar.core.choose.ejection import take_back
from sidecar.core.choose.neighbours import Breakers
from sidecar.core.choose.rosters import Roster
from sidecar.core.choose.standings import Post, Standing

Posts = dict[str, Post]  # by name
Standings = dict[str, dict[str, Standing]]  # by name and group of models


def take_over(
    settings: Settings, breakers: Breakers, before: tuple[Posts, Standings], kept: frozenset[str], number: int, now: float
) -> tuple[Posts, Standings]:
    """Return what holds from now on, in which what stays is the same as `before`, under the new settings.

    `number`: of these settings, never used before: in the marks of those who are new.
    """
    posts: Posts = {}
    for name, upstream in settings.upstreams.items():
        if name in kept:
            posts[name] = before[0][name]
            posts[name].adopt(upstream, now)
        else:
            posts[name] = Post(name, upstream, f"{name}#{number}")  # no name has this sign in it
    return posts, {name: _take_over_standings(post, settings, breakers, before[1].get(name, {})) for name, post in posts.items()}


def _take_over_standings(post: Post, settings: Settings, breakers: Breakers, before: Mapping[str, Standing]) -> dict[str, Standing]:
    standings = {}
    for breaker in breakers.of(post.name):
        known = before.get(breaker.group)
        if known is not None and known.breaker is breaker:
            known.adopt(settings.balancing)
        else:
            known = Standing(post, breaker, settings.balancing)
        standings[breaker.group] = known
    return standings


def inherit(roster: Roster, before: Roster, now: float) -> None:
    """Let a pool go on as it was before, within what its settings allow now."""
    roster.inherit(before)
    take_back(roster, now)
