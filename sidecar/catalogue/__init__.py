"""Every name an operator can see, declared once, as data: metrics, span attributes, log events, headers.

Error ids are the fifth kind; they live in `errors.ERRORS`. Names of metrics and attributes that
begin with `gen_ai`, `mcp`, `http`, `server`, `url` or `error` follow the OpenTelemetry semantic
conventions (GenAI v1.41), in their Prometheus spelling where they are metrics. A name is removed
or changed only after a deprecation.
"""

from sidecar.catalogue.calls import *
from sidecar.catalogue.comparisons import *
from sidecar.catalogue.events import *
from sidecar.catalogue.headers import *
from sidecar.catalogue.kinds import *
from sidecar.catalogue.metrics import *
from sidecar.catalogue.resilience import *
from sidecar.catalogue.reuse import *
from sidecar.catalogue.spans import *
