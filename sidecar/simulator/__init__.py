"""A provider to practise against, and traffic for it: the demo, tests and benchmarks use it."""

from sidecar.simulator.ledger import Ledger
from sidecar.simulator.profile import Profile, read_profile
from sidecar.simulator.script import Fault, Script
from sidecar.simulator.server import Simulator, serve, start

__all__ = ["Fault", "Ledger", "Profile", "Script", "Simulator", "read_profile", "serve", "start"]
