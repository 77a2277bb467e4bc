"""What a call is made of: `Call` came in, `Exchange` is in progress, `Record` is what happened.

Times are seconds on the monotonic clock unless the name ends in `_ns` (wall clock, nanoseconds
since the epoch). What was not measured is `None`, never 0.

Made for every call, so msgspec structs: a tenth of a dataclass's cost, and in no reference cycle. What is filled in on the
way is a plain class, whose members are read without a call where the hot path is compiled.
"""

from sidecar.exchange.answer import *
from sidecar.exchange.call import *
from sidecar.exchange.endings import *
from sidecar.exchange.record import *
from sidecar.exchange.seen import *
from sidecar.exchange.usage import *
