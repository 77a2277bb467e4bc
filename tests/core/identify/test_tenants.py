"""On whose account a call runs."""

import string
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.config import Budget, Budgets, Features, Limits, RateLimits, Rates, Settings, Tenants, TenantSource, Warming
from sidecar.core.identify.targets import split_target
from sidecar.core.identify.tenants import OTHER, Tenancy, Tenant, is_tenant, list_accounts
from sidecar.errors import BAD_TARGET, BAD_TENANT, NO_ROUTE, ClientFault
from sidecar.exchange import Headers
from tests.core.attempt.calls import make_call

HEADER, KEY, PATH = TenantSource.HEADER, TenantSource.KEY, TenantSource.PATH
KEPT = "sk-test-0123456789"
DIGEST = sha256(KEPT.encode()).hexdigest()
CALLED = "/openai/v1/chat/completions"
GOOD_CHARS = string.ascii_letters + string.digits + "._:/-"
good_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", fullmatch=True)


def make_tenancy(*sources: TenantSource, **changes: object) -> Tenancy:
    """Return one that asks `sources`, or those by default."""
    if sources:
        changes["sources"] = sources
    return Tenancy(Settings(tenants=Tenants(**changes)))  # type: ignore[arg-type]


def identify(tenancy: Tenancy, *headers: tuple[bytes, bytes], path: str = CALLED, query: str = "") -> tuple[Tenant, str]:
    """Return whose a call is that came with these fields."""
    return tenancy.identify(make_call(*headers, target=path), path, query)


def named(name: str | bytes) -> tuple[bytes, bytes]:
    """Return the field that tells a tenant."""
    return b"X-Sidecar-Tenant", name.encode() if isinstance(name, str) else name


def refuse(tenancy: Tenancy, *headers: tuple[bytes, bytes], path: str = CALLED) -> ClientFault:
    """Return the fault with which a call is refused."""
    with pytest.raises(ClientFault) as raised:
        identify(tenancy, *headers, path=path)
    return raised.value


def test_where_nothing_tells_it_is_the_default() -> None:
    """Other headers of ours and credentials tell nothing."""
    headers: Headers = ((b"x-sidecar-timeout", b"5"), (b"authorization", b"Bearer " + KEPT.encode()))
    assert identify(make_tenancy(), *headers) == (Tenant("default", "default"), CALLED)
    assert identify(make_tenancy(default="main")) == (Tenant("main", "main"), CALLED)
    assert identify(make_tenancy(keys={"0" * 64: "a"}), *headers)[0].name == "default"


def test_known_names_have_accounts_of_their_own() -> None:
    """Whatever setting names them."""
    settings = Settings(
        tenants=Tenants(names=("a",), keys={DIGEST: "b"}, default="main"), features=Features(warming=True), warming=Warming(tenant="warm"),
        limits=Limits(rates=RateLimits(tenants={"c": Rates()})), budgets=Budgets(tenants={"d": Budget(), "a": Budget()}),
    )  # fmt: skip
    assert list_accounts(settings) == ("main", "a", "b", "c", "d", "warm", OTHER)
    tenancy = Tenancy(settings)
    for name in ("main", "a", "b", "c", "d", "warm", OTHER):
        assert identify(tenancy, named(name))[0] == Tenant(name, name)
    assert list_accounts(Settings()) == ("default", OTHER)
    assert identify(make_tenancy(), named("warming"))[0].account == OTHER


@given(st.sampled_from([HEADER, PATH]), good_names)
def test_names_that_nobody_configured_stay_apart_and_share_an_account(source: TenantSource, name: str) -> None:
    """What is kept for one is not given to another; accounts do not grow with what callers say."""
    tenancy = make_tenancy(source, names=("known",))
    if source is PATH:
        found, path = identify(tenancy, path="/tenants/" + name.replace("/", "%2f") + CALLED)
    else:
        found, path = identify(tenancy, named(name))
    assert (found.name, path) == (name, CALLED)
    assert found.account == (name if name in ("known", "default") else OTHER)


@given(st.text(max_size=80) | st.text(GOOD_CHARS, max_size=70) | st.text(GOOD_CHARS + "\r\n\t\0é/٣", max_size=70))
@example("")
@example("a" * 65)
@example("a" * 10_240)
@example("a\n")
@example("a\x1f")
@example("a\u0661")
@example("/a")
@example("../a")
def test_what_is_no_name_is_refused_and_not_repeated(name: str) -> None:
    """Control characters, other scripts, nothing, too much: told by a header or by a path it is refused in the same way."""
    headers, paths = make_tenancy(HEADER), make_tenancy(PATH)
    in_path = "/tenants/" + "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass")) + CALLED
    in_header = named(name.encode("utf-8", "surrogatepass").strip(b" \t"))
    assert is_tenant(name) == (0 < len(name) <= 64 and name[0] in string.ascii_letters + string.digits and set(name) <= set(GOOD_CHARS))
    if is_tenant(name):
        assert identify(headers, in_header)[0].name == identify(paths, path=in_path)[0].name == name
        return
    fault = refuse(paths, path=in_path)
    assert fault.kind is BAD_TENANT and fault.detail == f"The path tells a tenant's name that is none. {BAD_TENANT.advice}"
    if not is_tenant(name.strip(" \t")):
        fault = refuse(headers, in_header)
        assert fault.kind is BAD_TENANT and fault.detail == f"x-sidecar-tenant tells a tenant's name that is none. {BAD_TENANT.advice}"


def test_a_name_told_twice_is_refused() -> None:
    """A proxy before us may have set one of the two, and means that one; also in a spelling that some servers take for the same."""
    for second in (b"x-sidecar-tenant", b"X_Sidecar_Tenant"):
        fault = refuse(make_tenancy(), named("a"), (second, b"a"))
        assert (fault.kind, "more than once" in fault.detail) == (BAD_TENANT, True)
    assert identify(make_tenancy(), (b"x_sidecar_tenant", b"\t a "))[0].name == "a"


@pytest.mark.parametrize(
    "field",
    [
        (b"Authorization", f"Bearer {KEPT}".encode()),
        (b"authorization", f"bearer  {KEPT} ".encode()),
        (b"X-Api-Key", KEPT.encode()),
        (b"api-key", KEPT.encode()),
        (b"x-goog-api-key", f" {KEPT}".encode()),
    ],
)
def test_a_credential_tells_whose_call_it_is(field: tuple[bytes, bytes]) -> None:
    """In each field that providers take one from."""
    tenancy = make_tenancy(keys={DIGEST: "acme"})
    assert identify(tenancy, field)[0] == Tenant("acme", "acme")
    assert identify(tenancy, (field[0], field[1] + b"x"))[0].name == "default"
    assert identify(make_tenancy(HEADER, keys={DIGEST: "acme"}), field)[0].name == "default"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (f"key={KEPT}", "acme"),
        (f"alt=sse&key={KEPT}", "acme"),
        (f"key={KEPT.replace('-', '%2D')}", "acme"),
        (f"key=other&key={KEPT}", "acme"),
        (f"monkey={KEPT}", "default"),
        (f"key={KEPT}x", "default"),
        ("key=", "default"),
        ("key", "default"),
        ("", "default"),
    ],
)
def test_a_key_in_the_query_tells_too(query: str, name: str) -> None:
    """As Gemini takes it, however it is encoded."""
    assert identify(make_tenancy(keys={DIGEST: "acme"}), query=query)[0].name == name


def test_other_credentials_tell_nothing() -> None:
    """A user's password is no key, and an odd field no reason to fail."""
    tenancy = make_tenancy(keys={DIGEST: "acme", sha256(b"").hexdigest(): "nobody"})
    for value in (f"Basic {KEPT}".encode(), KEPT.encode(), b"Bearer", b"Bearer ", b"", b"\xff\xfe"):
        assert identify(tenancy, (b"authorization", value), query="key=")[0].name == "default"
    assert identify(tenancy, (b"authorization", b"Bearer no"), (b"x-api-key", KEPT.encode()))[0].name == "acme"


def test_the_first_source_that_tells_counts() -> None:
    """In the order of the setting; the path is as short in any case."""
    headers = named("by-header"), (b"x-api-key", KEPT.encode())
    path = "/tenants/by-path" + CALLED
    for sources, name in (
        ((HEADER, KEY, PATH), "by-header"), ((KEY, HEADER, PATH), "by-key"), ((PATH, KEY, HEADER), "by-path"), ((KEY, PATH), "by-key"),
    ):  # fmt: skip
        found, left = identify(make_tenancy(*sources, keys={DIGEST: "by-key"}), *headers, path=path)
        assert (found.name, left) == (name, CALLED)
    assert identify(make_tenancy(PATH, HEADER), named("by-header"))[0].name == "by-header"
    assert identify(make_tenancy(PATH), named("by-header"))[0].name == "default"
    assert refuse(make_tenancy(HEADER, PATH), named("a"), path="/tenants/-/x").kind is BAD_TENANT


@pytest.mark.parametrize(
    ("path", "name", "left"),
    [
        ("/tenants/acme/openai/v1/models", "acme", "/openai/v1/models"),
        ("/tenants/acme", "acme", "/"),
        ("/tenants/acme/", "acme", "/"),
        ("/tenants/a%2Fb:c/x", "a/b:c", "/x"),
        ("/tenants/acme//x", "acme", "//x"),
        ("/tenants/a/tenants/b/x", "a", "/tenants/b/x"),
        ("/tenants", "default", "/tenants"),
        ("/Tenants/a/x", "default", "/Tenants/a/x"),
        ("/openai/tenants/a/x", "default", "/openai/tenants/a/x"),
    ],
)
def test_a_path_tells_by_its_first_part_behind_the_prefix(path: str, name: str, left: str) -> None:
    """Which is taken off, once; everything else of a path stays as it came."""
    found, rest = identify(make_tenancy(PATH), path=path)
    assert (found.name, rest) == (name, left)
    assert identify(make_tenancy(), path=path) == (Tenant("default", "default"), path)


@pytest.mark.parametrize(
    "path", ["/tenants/", "/tenants//x", "/tenants/%00/x", "/tenants/a%0ab/x", "/tenants/a%252fb/x", "/tenants/%C3%A9/x"]
)
def test_paths_without_a_name_are_refused(path: str) -> None:
    """Decoded once; they are not taken for the default's."""
    assert refuse(make_tenancy(PATH), path=path).kind is BAD_TENANT


def test_no_path_leads_out_by_its_name() -> None:
    """Dot segments are refused before anybody reads a name, and what the sidecar answers itself is nobody's."""
    for target in ("/tenants/../openai/v1", "/tenants/%2e%2e/x", "/tenants/a%2f..%2fb/x"):
        with pytest.raises(ClientFault) as raised:
            split_target(target)
        assert raised.value.kind is BAD_TARGET
    fault = refuse(make_tenancy(PATH), path="/tenants/a/x-sidecar/batch")
    assert fault.kind is NO_ROUTE


def test_another_prefix() -> None:
    """As long as it is configured to be."""
    tenancy = make_tenancy(PATH, prefix="/of/the/")
    assert identify(tenancy, path="/of/the/house/openai/x") == (Tenant("house", OTHER), "/openai/x")
    assert identify(tenancy, path="/tenants/a/x") == (Tenant("default", "default"), "/tenants/a/x")


@given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=80))
def test_whatever_comes_is_answered(value: bytes, credential: bytes, query: str) -> None:
    """With a tenant, or with a refusal: nothing else is raised."""
    tenancy = make_tenancy(HEADER, KEY, PATH, keys={DIGEST: "acme"})
    for headers in ([named(value)], [(b"authorization", credential)], [(b"x-api-key", credential), named(value)]):
        try:
            found, path = identify(tenancy, *headers, path="/tenants/a/x" if credential[:1] > b"\x7f" else "/x", query=query)
        except ClientFault as fault:
            assert fault.kind is BAD_TENANT
        else:
            assert is_tenant(found.name) and is_tenant(found.account) and path == "/x"
