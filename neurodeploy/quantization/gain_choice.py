"""What becomes of DLIF gains on a target: as asked for, or what the target loses least by.

``auto`` goes by what the target has. Its simulator of microcode keeps ``microcode``. Chips with
graded messages take ``graded``, which is exact; where that would slow feedback down and a fold is
good enough, they fold. Chips of spikes alone ``fold`` where at least 98 % of the spikes agree with
the real gain on the calibration samples, and else take ``bitplane``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile, limits_of
from neurodeploy.network import Network
from neurodeploy.network.graded_gain import MESSAGE_BITS
from neurodeploy.quantization.bit_planes import bit_planes, obstacle, with_bit_planes
from neurodeploy.quantization.gain_remapping import (
    AGREEMENT_NEEDED,
    Blocks,
    Remap,
    SpikeAgreement,
    fold,
    fold_obstacle,
    folded_finding,
    spike_agreement,
)
from neurodeploy.quantization.latencies import solve_latencies


@dataclass(frozen=True, slots=True)
class Remapped:
    """A network whose gains are as the integers will have them.

    ``graded``: the populations whose gain goes on graded messages; what else has one is microcode.
    """

    network: Network
    graded: frozenset[str] = frozenset()

    @property
    def drive_steps(self) -> Mapping[str, int]:
        """Hardware steps that the gains of populations take of their own."""
        return dict.fromkeys(self.graded, 1)


def remap_gains(
    network: Network, remap: Remap, profile: Profile, bits: int, blocks: Blocks | None = None
) -> Result[Remapped]:
    """Return ``network`` with its gains as ``remap`` says, and what that costs.

    Parameters
    ----------
    network : Network
        Deployable float network with ``steps``.
    remap : {"microcode", "graded", "bitplane", "fold", "auto"}
        ``microcode`` and ``graded``: every gain stays, and is carried so. ``bitplane``: gates and a
        clock of stock neurons stand for it. ``fold``: it becomes its mean. ``auto``: see above.
    profile : Profile
        Target.
    bits : int
        Largest width of a gain.
    blocks : callable
        Calibration codes; None without any.

    Raises
    ------
    RangeError
        If a gain cannot be as asked for, or ``auto`` has no way for it; all of them at once.
    """
    names = [p.name for p in network.populations if p.gain is not None]
    if remap == "microcode" or not names:
        return Result(Remapped(network))
    if remap == "graded":
        return Result(Remapped(network, frozenset(names)), _graded(network, names))
    if remap == "fold":
        return _mapped(network, (), _agreements(network, names, blocks), (), bits, blocks)
    if remap == "bitplane":
        return _mapped(network, names, {}, (), bits, blocks)
    return _automatic(network, names, profile, bits, blocks)


def _automatic(
    network: Network, names: list[str], profile: Profile, bits: int, blocks: Blocks | None
) -> Result[Remapped]:
    limits = limits_of(profile)
    if profile.kind == "reference":
        text = f"gain stays as it is: {limits.target} computes it exactly"
        found = tuple(Finding("info", f"population {n}", text) for n in names)
        return Result(Remapped(network), found)
    if limits.message_bits < MESSAGE_BITS:
        folded, refused = _worth_folding(network, names, blocks)
        planes = [n for n in names if n not in folded]
        return _mapped(network, planes, folded, refused, bits, blocks)
    slowed = _slowed(network, names, limits.delay_max)
    folded, _ = _worth_folding(network, slowed, blocks)
    graded = [n for n in names if n not in folded]
    mapped, said = _mapped(network, (), folded, (), bits, blocks)
    return Result(Remapped(mapped.network, frozenset(graded)), (*said, *_graded(network, graded)))


def _slowed(network: Network, names: Iterable[str], longest_delay: int) -> list[str]:
    """Return the populations whose gain on messages would make feedback slower.

    One after the other, beside those before it: a cycle may have a step to spare for one of them.
    """
    usual = solve_latencies(network, longest_delay).extra
    fine: dict[str, int] = {}
    slowed = []
    for name in names:
        if solve_latencies(network, longest_delay, {**fine, name: 1}).extra == usual:
            fine[name] = 1
        else:
            slowed.append(name)
    return slowed


Agreements = Mapping[str, "SpikeAgreement | None"]


def _agreements(network: Network, names: list[str], blocks: Blocks | None) -> Agreements:
    if blocks is None:
        return dict.fromkeys(names)
    return spike_agreement(network, fold(network, names), names, blocks)


def _worth_folding(
    network: Network, names: Iterable[str], blocks: Blocks | None
) -> tuple[Agreements, Mapping[str, str]]:
    """Return what can be folded, with the agreement of all of it, and why the rest is not.

    One population after the other, in update order: a fold upstream that is fine by itself may
    not be paid for by a population after it.
    """
    chosen: Agreements = {}
    refused: dict[str, str] = {}
    for name in names:
        if text := fold_obstacle(network.population(name)):
            refused[name] = text.partition(": ")[2]
            continue
        if blocks is None:
            refused[name] = "no calibration samples tell what folding it would cost"
            continue
        tried = [*chosen, name]
        found = spike_agreement(network, fold(network, tried), tried, blocks)
        worst = min(tried, key=lambda n: found[n].share)
        if found[worst].share >= AGREEMENT_NEEDED:
            chosen = found
            continue
        whose = "" if worst == name else f" of population {worst}"
        refused[name] = (
            f"folded into its mean, {found[worst].share:.2%} of the spikes{whose} would agree with "
            f"the real gain, {AGREEMENT_NEEDED:.0%} are needed"
        )
    return chosen, refused


def _mapped(
    network: Network,
    planes: Iterable[str],
    folded: Agreements,
    not_folded: Mapping[str, str] | tuple[()],
    bits: int,
    blocks: Blocks | None,
) -> Result[Remapped]:
    """Return ``network`` with gains folded and in bit planes, or raise for what cannot be."""
    reasons = dict(not_folded)
    refused = []
    constant = []
    for name in planes:
        p = network.population(name)
        try:
            text = obstacle(network, name)
            if not text and not bit_planes(p, bits).gated:
                constant.append(name)
        except RangeError as error:
            text = str(error)
        if text:
            why = f"; {reasons[name]}" if name in reasons else ""
            refused.append(text + why)
    if refused:
        lines = "\n  ".join(refused)
        raise RangeError(lines if len(refused) == 1 else f"{len(refused)} gains:\n  {lines}")
    gated = [n for n in planes if n not in constant]
    mapped = with_bit_planes(fold(network, [*folded, *constant]), gated, bits)
    changed = [*gated, *constant]
    found = {} if blocks is None else spike_agreement(network, mapped, changed, blocks)
    said = {n: folded_finding(network, n, agreement) for n, agreement in folded.items()}
    for name in constant:
        said[name] = folded_finding(network, name, found.get(name))
    for name in gated:
        said[name] = _gated(network, mapped, name, bits, found.get(name), reasons.get(name, ""))
    order = [p.name for p in network.populations if p.name in said]
    return Result(Remapped(mapped), tuple(said[n] for n in order))


def _graded(network: Network, names: Iterable[str]) -> tuple[Finding, ...]:
    findings = []
    for name in names:
        size = network.population(name).size
        text = (
            f"gain goes on graded messages, exactly: {size} products, and up to {size} messages a "
            "step; one hardware step more"
        )
        numbers = {"products": size, "steps": 1}
        findings.append(Finding("info", f"population {name}", text, "", numbers))
    return tuple(findings)


def _gated(
    network: Network,
    mapped: Network,
    name: str,
    bits: int,
    found: SpikeAgreement | None,
    not_folded: str,
) -> Finding:
    planes = bit_planes(network.population(name), bits)
    added = [p.size for p in mapped.populations if p.name.startswith(f"{name}.bit")]
    text = (
        f"gain in {len(planes.gated)} bit planes: {sum(added)} gates, a clock of {planes.steps} "
        "neurons; one hardware step more, and a rounding for each plane"
    )
    numbers: dict[str, float] = {
        "planes": len(planes.gated),
        "gates": sum(added),
        "clock": planes.steps,
    }
    if found is not None:
        text += f"; {found.share:.2%} of spikes agree with the real gain on the calibration samples"
        numbers |= {"agreement": found.share}
    if not_folded:
        text += f"; {not_folded}"
    return Finding("info", f"population {name}", text, "", numbers)
