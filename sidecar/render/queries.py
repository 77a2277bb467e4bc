"""PromQL of panels: selectors that follow the board's variables, and the shapes that rates, quantiles and means take."""

from typing import Final, NamedTuple

from sidecar.catalogue import METRICS, PROCESS_METRICS

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
_SUFFIXES: Final = ("_bucket", "_sum", "_count")


class Scope(NamedTuple):
    """What a board's variables choose; makes the queries of its panels."""

    variables: tuple[str, ...]  # of CHOSEN_BY, in the order in which they are chosen

    def select(self, series: str, *matchers: str) -> str:
        """Return a selector of `series`, bound to every variable of the board that it has a label for."""
        labels = LABELS[find_metric(series)]
        bound = [f'{name}=~"${name}"' for name in _TARGET]
        for variable in self.variables:
            bound += [f'{label}=~"${variable}"' for label in CHOSEN_BY[variable] if label in labels]
        return f"{series}{{{','.join((*bound, *matchers))}}}"

    def rate(self, series: str, *matchers: str, by: str = "") -> str:
        """Return the rate per second of a counter, or of a histogram's count or sum, summed but for the labels of `by`."""
        return _sum(f"rate({self.select(series, *matchers)}[{STEP}])", by)

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
        return f"{aggregation}{grouping}({self.select(series, *matchers)})"


def find_metric(series: str) -> str:
    """Return the family of a series. An unknown one raises KeyError: panels show what the catalogue declares."""
    if series in LABELS:
        return series
    family = next((series.removesuffix(suffix) for suffix in _SUFFIXES if series.endswith(suffix)), series)
    if family not in LABELS:
        raise KeyError(series)
    return family


def _sum(text: str, by: str) -> str:
    return f"sum by ({by}) ({text})" if by else f"sum({text})"
