"""Which place this process keeps its values in, found once."""

from __future__ import annotations

from tallygate.client.keeping import Keeping, PlainKeeping


def _found() -> Keeping:
    try:
        from tallygate.client.otel import OtelKeeping  # noqa: PLC0415 - optional
    except ImportError:
        return PlainKeeping()
    return OtelKeeping()


KEEPING: Keeping = _found()


def fields_here() -> dict[str, str]:
    """Give what the blocks around the running code say; empty outside of any."""
    held = KEEPING.held()
    return dict(held.fields) if held else {}
