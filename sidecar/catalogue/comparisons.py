"""Which histograms a threshold is compared on: each of its limits is an upper edge of a bucket in all of them.

So shares above and below a limit can be counted from the buckets, without interpolation.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.catalogue.kinds import Metric
from sidecar.catalogue.metrics import (
    HTTP_SERVER_DURATION,
    OPERATION_DURATION,
    OVERHEAD,
    TIME_TO_FIRST_CHUNK,
    TIME_TO_FIRST_TOKEN,
    TOKENS_PER_SECOND,
)

_CALLS: Final = (OPERATION_DURATION, HTTP_SERVER_DURATION)

# By the field of Thresholds; the others are compared with no histogram.
COMPARED: Final[Mapping[str, tuple[Metric, ...]]] = {
    "mean_latency": _CALLS,
    "latency_p95": _CALLS,
    "response_time": _CALLS,
    "time_to_first_token_p95": (TIME_TO_FIRST_TOKEN, TIME_TO_FIRST_CHUNK),
    "output_tokens_per_second": (TOKENS_PER_SECOND,),
    "overhead_p99": (OVERHEAD,),
}
