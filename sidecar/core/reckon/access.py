"""Who can reach the sidecar's ports, and what keeps others out: checks of it."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar.config import Settings
from sidecar.core.identify.operators import is_loopback
from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present, show_moment, show_wall
from sidecar.errors import ConfigProblem

WAY_OUT: Final = (
    "Listen on 127.0.0.1. Or, where other machines are meant to make calls: let a NetworkPolicy or a firewall admit those only, "
    "give each a tenant with limits, and set gateway: true."
)

ADMIN_REMEDY: Final = (
    "admin.web_config_file has everybody asked for a password; who has one, or the token of admin.token_file, may change things."
)


class GateView(NamedTuple):
    """How the admin port is entered. Moments are on the monotonic clock."""

    source: str  # admin.web_config_file
    loaded_at: float
    users: int
    has_tls: bool
    certificate_ends_s: float | None  # since the epoch; None where it is not known
    problems: tuple[ConfigProblem, ...]  # why what the files hold now is not in force
    remarks: tuple[str, ...]


class Reach(NamedTuple):
    """From where the ports can be reached."""

    data_url: str | None  # None: from this machine only
    admin_url: str | None
    keys_of: tuple[str, ...]  # upstreams whose calls get a key that is not the caller's
    is_meant: bool  # settings.gateway
    is_guarded: bool  # who changes something by the admin port needs a token or a password


def read_reach(settings: Settings, data_url: str, admin_url: str, *, has_users: bool) -> Reach:
    """Return from where ports can be reached that are open. `has_users`: the admin port asks for passwords."""
    return Reach(
        _find_open(data_url),
        _find_open(admin_url),
        tuple(name for name, upstream in settings.upstreams.items() if upstream.api_key_file is not None),
        settings.gateway,
        settings.admin.token_file is not None or has_users,
    )


def _find_open(url: str) -> str | None:
    return None if not url or is_loopback(urlsplit(url).hostname or "") else url


def check_reach(reach: Reach) -> Check:
    """Check who can make calls. That anybody of a network may is said until somebody says that it is meant."""
    facts = {"dataUrl": reach.data_url, "adminUrl": reach.admin_url, "keysOf": list(reach.keys_of), "gateway": reach.is_meant}
    if reach.data_url is None:
        return Check(Status.HEALTHY, "Calls come from this machine, or this pod, only.", None, facts)
    if reach.is_meant:
        return Check(Status.HEALTHY, "Other machines make calls, as is meant (gateway).", None, facts)
    return Check(Status.DEGRADED, tell_danger(reach), WAY_OUT, facts)


def tell_danger(reach: Reach) -> str:
    """Return what whoever reaches the data port can do."""
    keys = f", with the keys of {', '.join(reach.keys_of)}" if reach.keys_of else ""
    return f"The data port is open to other machines: whoever reaches it can make calls{keys}."


def check_gate(view: GateView | None, present: Present) -> Check:
    """Check how the admin port is entered; None: it is plain HTTP without passwords."""
    if view is None:
        return Check(Status.HEALTHY, "Plain HTTP, without passwords (admin.web_config_file).")
    ends_s, problems = view.certificate_ends_s, _spell(view.problems)
    facts = {
        "source": view.source, "loadedAt": show_moment(view.loaded_at, present), "tls": view.has_tls, "users": view.users,
        "certificateEnds": None if ends_s is None else show_wall(int(ends_s * 1e9)), "problems": problems, "remarks": list(view.remarks),
    }  # fmt: skip
    if problems:
        remedy = f"Put it right: {'; '.join(f'{problem.path} needs {problem.allowed}' for problem in view.problems)}."
        return Check(Status.DEGRADED, "What its files hold now cannot be used: what was read before is in force.", remedy, facts)
    if ends_s is not None and ends_s < present.wall_ns / 1e9:
        return Check(Status.DEGRADED, "The certificate of the admin port has expired.", "Put a new one in its place: it is noticed.", facts)
    how = ", ".join(word for word, is_so in (("TLS", view.has_tls), ("passwords", bool(view.users))) if is_so)
    return Check(Status.HEALTHY, f"In force: {how or 'neither TLS nor passwords'}.", None, facts)


def _spell(problems: Sequence[ConfigProblem]) -> list[str]:
    return [f"{problem.path}: {problem.found}" for problem in problems]
