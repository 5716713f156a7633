"""The `Activations` port in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import ActivationsUnusable


class FakeActivations:
    def __init__(self, *kept: Activation) -> None:
        self.kept = {activation.override_id: activation for activation in kept}
        self.is_broken = False

    def current(self) -> Sequence[Activation]:
        return tuple(self.kept.values())

    def one_at_a_time(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self) -> Sequence[Activation]:
        return [self.kept[name] for name in sorted(self.kept)]

    def keep(self, activation: Activation) -> None:
        if self.is_broken:
            raise ActivationsUnusable("the folder of activations takes nothing")
        self.kept[activation.override_id] = activation

    def let_go(self, override_id: str) -> None:
        self.kept.pop(override_id, None)
