"""PromQL of panels: selectors that follow the board's variables, and the shapes that rates, quantiles and means take."""

from itertools import pairwise
from typing import Final, NamedTuple

from sidecar.catalogue import METRICS, PROCESS_METRICS
from sidecar.thresholds import Side, Threshold

STEP: Final = "$__rate_interval"
# Labels that a variable of a board chooses by, where a metric has them.
CHOSEN_BY: Final = {
    "provider": ("provider", "gen_ai_provider_name"),
    "model": ("model", "gen_ai_request_model"),
    "tenant": ("tenant",),
    "upstream": ("upstream",),
}
_TARGET: Final = ("namespace", "job", "instance")
LABELS: Final = {metric.name: {label.name for label in metric.labels} for metric in (*METRICS, *PROCESS_METRICS)}
# What Prometheus itself notes of each target.
SCRAPED: Final = ("up", "scrape_samples_scraped")
_OURS: Final = "llm_sidecar_"
_SUFFIXES: Final = ("_bucket", "_sum", "_count")


class Scope(NamedTuple):
    """What a board's variables choose; makes the queries of its panels."""

    variables: tuple[str, ...]  # of CHOSEN_BY, in the order in which they are chosen
    whole: bool = False  # of the whole chosen time and not of each moment in it: for tables and totals

    def select(self, series: str, *matchers: str) -> str:
        """Return a selector of `series`, bound to every variable of the board that it has a label for."""
        labels = LABELS.get(find_metric(series), set())
        bound = [f'{name}=~"${name}"' for name in _TARGET]
        for variable in self.variables:
            bound += [f'{label}=~"${variable}"' for label in CHOSEN_BY[variable] if label in labels]
        return f"{series}{{{','.join((*bound, *matchers))}}}"

    def rate(self, series: str, *matchers: str, by: str = "") -> str:
        """Return the rate per second of a counter, or of a histogram's count or sum, summed but for the labels of `by`.

        Of the whole chosen time: by how much it grew.
        """
        grown = "increase(%s[$__range])" if self.whole else f"rate(%s[{STEP}])"
        return _sum(self._confine(series, grown % self.select(series, *matchers)), by)

    def confine(self, text: str) -> str:
        """Return what a vector has of targets that are sidecars. Others have metrics of the same names: of the process, of HTTP."""
        return f"{text} and on (job, instance) {self.select('llm_sidecar_build_info')}"

    def _confine(self, series: str, text: str) -> str:
        return text if series.startswith(_OURS) else self.confine(text)

    def quantile(self, q: float, histogram: str, *matchers: str, by: str = "") -> str:
        """Return a quantile of a histogram for each set of the labels of `by`."""
        return f"histogram_quantile({q:g}, {self.rate(f'{histogram}_bucket', *matchers, by=f'{by}, le' if by else 'le')})"

    def mean(self, histogram: str, *matchers: str, by: str = "") -> str:
        """Return the mean of a histogram; nothing where nothing was observed."""
        count = self.rate(f"{histogram}_count", *matchers, by=by)
        return f"{self.rate(f'{histogram}_sum', *matchers, by=by)} / ({count} > 0)"

    def share(self, part: str, whole: str, by: str = "") -> str:
        """Return `part / whole` of two sums by the same labels: 0 where there is no part, nothing where there is no whole."""
        nothing = f"0 * {whole}" if by else "vector(0)"
        return f"({part} or {nothing}) / ({whole} > 0)"

    def over(self, aggregation: str, series: str, *matchers: str, by: str = "") -> str:
        """Return a gauge under an aggregation such as sum or max."""
        grouping = f" by ({by}) " if by else ""
        return f"{aggregation}{grouping}({self._confine(series, self.select(series, *matchers))})"

    def bands(self, histogram: str, threshold: Threshold) -> list[tuple[str, str]]:
        """Return name and share of observations of each band, best first. Where nothing was observed there is no share.

        The ends of bands are edges of the histogram's buckets, so the shares are exact; but for a series' first moments, when rates of
        buckets are estimated apart from that of the whole.
        """
        bucket, whole = f"{histogram}_bucket", self.rate(f"{histogram}_count")
        within = [self.rate(bucket, f'le="{float(band.limit)!r}"') for band in threshold.bands if band.limit is not None]
        if threshold.bad is Side.ABOVE:
            parts = [within[0], *(f"{more} - {less}" for less, more in pairwise(within)), f"{whole} - {within[-1]}"]
        else:
            parts = [f"{whole} - {within[0]}", *(f"{more} - {less}" for more, less in pairwise(within)), within[-1]]
        return [(band.name, f"clamp(({part}) / ({whole} > 0), 0, 1)") for band, part in zip(threshold.bands, parts, strict=True)]


def find_metric(series: str) -> str:
    """Return the family of a series. An unknown one raises KeyError: panels show what the catalogue declares."""
    if series in LABELS or series in SCRAPED:
        return series
    family = next((series.removesuffix(suffix) for suffix in _SUFFIXES if series.endswith(suffix)), series)
    if family not in LABELS:
        raise KeyError(series)
    return family


def _sum(text: str, by: str) -> str:
    return f"sum by ({by}) ({text})" if by else f"sum({text})"
