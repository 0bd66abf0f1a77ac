"""What every lowering pass is: one change of a network, checked before and after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from neurodeploy.errors import InputError, NeurodeployError
from neurodeploy.findings import Result
from neurodeploy.network import Network, Population

#: Kinds of populations that only hand values on; passes may remove them.
PASSING = ("relay", "delay")


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds for a network or does not.

    ``what`` says it in words; ``violations`` returns the names of what breaks it.
    """

    what: str
    violations: Callable[[Network], list[str]]


class Pass(ABC):
    """A change of a network that leaves what it computes as it is.

    ``needs`` must hold before, ``gives`` holds afterwards. Every pass keeps the neurons (what has a
    membrane or a threshold): their names, their order and their sizes; and the ends: input, encoder
    and read-out.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Condition, ...]] = ()
    gives: ClassVar[tuple[Condition, ...]] = ()

    def run(self, network: Network) -> Result[Network]:
        """Check, change, check again.

        Raises
        ------
        InputError
            If the network is not what the pass needs; the message says which pass comes before.
        NeurodeployError
            If the pass broke its own promise.
        """
        for condition in self.needs:
            if broken := condition.violations(network):
                raise InputError(
                    f"lowering pass {self.name!r}: needs a network where {condition.what}, but "
                    f"{_listed(broken)}; run the passes in the order of compose()"
                )
        result = self.change(network)
        self._check_promises(network, result.value)
        return result

    @abstractmethod
    def change(self, network: Network) -> Result[Network]:
        """Return the changed network."""

    def _check_promises(self, before: Network, after: Network) -> None:
        broken = [
            f"{condition.what}: {_listed(found)}"
            for condition in self.gives
            if (found := condition.violations(after))
        ]
        if [(p.name, p.size) for p in neurons(before)] != [
            (p.name, p.size) for p in neurons(after)
        ]:
            broken.append("neurons stay as they are")
        if _ends(before) != _ends(after):
            broken.append("input and read-out stay as they are")
        if broken:
            raise NeurodeployError(
                f"lowering pass {self.name!r}: its promise does not hold ({'; '.join(broken)}); "
                "this is a mistake in neurodeploy, please report it with the network"
            )


def neurons(network: Network) -> tuple[Population, ...]:
    """Return the populations that do more than hand values on."""
    return tuple(p for p in network.populations if p.kind not in PASSING)


def _ends(network: Network) -> tuple[object, ...]:
    return (
        network.n_input,
        network.input_shape,
        network.encoder,
        network.readout,
        network.steps,
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more
