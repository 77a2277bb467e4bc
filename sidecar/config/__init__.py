"""Every setting: frozen dataclasses, the default beside the type. No file access here.

Units are in the names where code uses them; in a configuration file durations are written
`250ms`, `3s`, `5m`, `2h` and sizes `64KiB`, `50MiB` (read by `core/settings/`).
"""

from sidecar.config.accounts import *
from sidecar.config.content import *
from sidecar.config.resilience import *
from sidecar.config.reuse import *
from sidecar.config.settings import *
from sidecar.config.units import *
from sidecar.config.upstreams import *
from sidecar.config.web import *
