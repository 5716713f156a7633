"""The `Activations` port in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import ActivationsUnusable


class FakeActivations:
    def __init__(self, *kept: Activation) -> None:
        self.kept = {activation.override_id: activation for activation in kept}
        self.is_broken = False
        self.is_stuck = False
        self.while_waiting: Callable[[], None] = lambda: None
        """What goes on elsewhere until it is one's turn."""

    def current(self) -> Sequence[Activation]:
        return tuple(self.kept.values())

    @contextmanager
    def one_at_a_time(self) -> Generator[None]:
        self.while_waiting()
        yield

    def read(self) -> Sequence[Activation]:
        return [self.kept[name] for name in sorted(self.kept)]

    def keep(self, activation: Activation) -> None:
        if self.is_broken:
            raise ActivationsUnusable("the folder of activations takes nothing")
        self.kept[activation.override_id] = activation

    def let_go(self, override_id: str) -> None:
        if self.is_stuck:
            raise ActivationsUnusable("the folder of activations lets nothing go")
        self.kept.pop(override_id, None)
