"""Whose fault it was, under an id that never changes.

Every failure that we ourselves report to a caller is one `ErrorKind` of the table below. The id
goes into the answer's body, the `x-sidecar-error` header, metrics, spans and the runbook; once
released it is neither renamed nor reused.
"""

from sidecar.errors.faults import *
from sidecar.errors.kinds import *
