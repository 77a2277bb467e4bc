"""Who reads the answer of an attempt, told by its head."""

from sidecar.catalogue import GAP_EDGES
from sidecar.config import Limits
from sidecar.core.observe.contract import Observer, Reading
from sidecar.core.observe.observer import is_stream, observe, read_media_type
from sidecar.core.observe.overhearing import Listening, overhear
from sidecar.errors import INTERNAL, SidecarFault
from sidecar.progress import Exchange, Trial


def open_observer(exchange: Exchange, trial: Trial, limits: Limits, listening: Listening | None) -> Observer:
    """Note what the head of a trial's answer tells, and return the one who reads the rest. `listening`: None where nobody does."""
    head = trial.head
    if head is None:
        raise SidecarFault(INTERNAL, "nothing to read")
    trial.media_type = media_type = read_media_type(head.content_type)
    trial.streamed = is_stream(exchange.dialect, media_type)
    reading: Reading = exchange.dialect
    if listening is not None:
        reading, trial.transcript = overhear(exchange.dialect, listening.chars_max)
    observer = trial.observer = observe(
        reading, status=head.status, media_type=media_type, content_encoding=head.content_encoding, limits=limits, gap_edges=GAP_EDGES
    )
    observer.seen.replayed = head.replayed
    return observer
