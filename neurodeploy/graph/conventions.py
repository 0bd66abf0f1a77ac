"""What other tools mean by a NIR file that they wrote: presets of contract words, with sources.

A file holds neither step length, decay rule, reset kind, spikes per step nor input unit. Each
preset says what one tool does by default; a model made with other settings needs the differing
words as options besides. What the file has lost for good stands in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract


@dataclass(frozen=True, slots=True)
class Convention:
    """One tool's meaning.

    Parameters
    ----------
    name : str
        The word after ``--convention``.
    source : str
        Package version and place that it was read from, and how it was measured.
    fields : Mapping of str to (float or str)
        Contract words by the field names of ``Contract``; ``dt`` in seconds. Words left out are
        not fixed by the tool.
    notes : tuple of str
        What the file loses, and what to do about it.
    """

    name: str
    source: str
    fields: Mapping[str, float | str]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Freeze the words and check them."""
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
        self.contract()

    def contract(self) -> Contract:
        """Return the words as a contract; fields that the tool leaves open are ``None``."""
        return Contract(**self.fields)  # type: ignore[arg-type]


_SNNTORCH = Convention(
    name="snntorch",
    source=(
        "snntorch 1.0.0: export_nir.py lines 68, 95, 136 (dt), _neurons/leaky.py and synaptic.py "
        "forward() (reset), _neurons/neurons.py mem_reset; measured: tests/peers/from_snntorch.py"
    ),
    fields={
        "dt": 1e-4,
        "reset": "subtract-late",
        "decay": "euler",
        "spikes": "single",
        "input_gain": "r",
        "if_unit": "step",
        "recurrent_cut": "spikes",
        "v_min": "none",
    },
    notes=(
        "The reset is not in the file. Library default: subtract, one step late. "
        'reset_mechanism="zero": give reset value. reset_delay=False with "subtract": give '
        "subtract-once.",
        'Synaptic, RLeaky and RSynaptic with "zero" and the default reset_delay=True zero the '
        "whole next membrane, its new input included; no contract word says that. "
        'reset_mechanism="none" has none either.',
        "dt is a formal number: the exporter always writes 1e-4 s.",
        "Residual connections are lost by the exporter: edges and neurons are missing.",
    ),
)

_SINABS = Convention(
    name="sinabs",
    source=(
        "sinabs 2.0.3: nir.py _extract_sinabs_module, layers/lif.py lines 66-72 (defaults) and 121 "
        "(decay), layers/functional/lif.py, activation/spike_generation.py; measured: "
        "tests/peers/from_sinabs.py"
    ),
    fields={
        "dt": 1.0,
        "reset": "subtract",
        "decay": "exponential",
        "spikes": "multiple",
        "input_gain": "r",
        "if_unit": "step",
        "recurrent_cut": "affine",
        "v_min": "none",
    },
    notes=(
        "tau is counted in steps, so dt is 1. The file does not hold the reset, the number of "
        "spikes per step, norm_input or min_v_mem: for SingleSpike give spikes single, for "
        "MembraneReset reset value, for norm_input=False input-gain one, for min_v_mem v-min.",
        "LIF normalises its input by default (norm_input=True), ExpLeak does not, and the file "
        "does not tell. Where both occur with their defaults, write r = 1/(1 - exp(-1/tau)) into "
        "the LI node.",
        "tau_syn is dropped from the file without a word. MaxSpike's limit is lost. With "
        "SingleSpike a membrane equal to its threshold spikes; the contract's single spike is "
        "strict.",
        "sinabs' own importer clamps the membrane of IF at minus threshold; its exported networks "
        "do not.",
    ),
)

_SPIKINGJELLY = Convention(
    name="spikingjelly",
    source=(
        "spikingjelly 2.0.0: activation_based/nir_exchange/to_nir.py lines 30, 191-240 and "
        "from_nir.py; measured: tests/peers/from_spikingjelly.py"
    ),
    fields={
        "dt": 1e-4,
        "reset": "value",
        "decay": "euler",
        "spikes": "single",
        "input_gain": "r",
        "if_unit": "second",
        "recurrent_cut": "affine",
        "v_min": "none",
    },
    notes=(
        "dt is the exporter's argument; 1e-4 s is its default. With another one the file fits "
        "only with that dt.",
        "The membrane starts at v_reset, the contract's at zero. With v_reset other than zero, "
        "subtract v_reset from v_threshold, v_leak and v_reset: the same network, measured from "
        "v_reset.",
        "A membrane equal to its threshold spikes; the contract is strict.",
        "Soft reset and grouped convolutions are refused by the exporter.",
    ),
)

_NORSE = Convention(
    name="norse",
    source=(
        "norse 1.1.0: torch/utils/export_nir.py lines 29-48, torch/utils/import_nir.py, "
        "torch/functional/lif_box.py, lif.py, iaf.py; measured: tests/peers/from_norse.py"
    ),
    fields={
        "dt": 1e-3,
        "reset": "value",
        "decay": "euler",
        "spikes": "single",
        "input_gain": "r",
        "if_unit": "step",
        "recurrent_cut": "affine",
        "v_min": "none",
    },
    notes=(
        "Norse 1.1.0 writes tau * dt in place of tau, unless to_nir was called with dt=1.0: a time "
        "constant of about 1e-5 s is 10 ms times 1e-3. Such a file is not repaired by any word.",
        "v_reset, the reset method and w_in = tau_syn/dt of LIFCell are not exported: give reset "
        "subtract for reset_subtract; write v_reset and w_in into the file.",
        "The membrane starts at v_leak (IAF: at v_reset), the contract's at zero. With reset "
        "value, subtract the start value from v_threshold, v_leak and v_reset.",
        "A Norse module made from a file ignores r, v_reset and unknown nodes; this preset uses "
        "them.",
    ),
)

_ROCKPOOL = Convention(
    name="rockpool",
    source=(
        "rockpool 3.1.0: nn/modules/torch/nir.py lines 244-299, lif_neuron_torch.py lines 258-272, "
        "lif_torch.py lines 684-709 (read, not run); measured: the trace lif_rockpool.csv that "
        "came with the NIR paper"
    ),
    fields={
        "reset": "subtract",
        "decay": "exponential",
        "spikes": "multiple",
        "input_gain": "one",
        "v_min": "none",
    },
    notes=(
        "dt is not in the file but in r = tau * exp(-dt/tau)/dt, which is no resistance: give dt. "
        "The library's default is 1e-3 s.",
        "CubaLIF: the gain exp(-dt/tau_syn) of the synapse is lost. With k = exp(-dt/tau_syn), "
        "write w_in = k/(1 - k).",
        "Recurrent weights and neuron biases are not exported, and cannot be recovered.",
    ),
)

_LAVA_DL = Convention(
    name="lava-dl",
    source=(
        "nir_to_lava.py beside the NIR paper (import_from_nir_to_lava_dl); lava-dl 0.6.0: "
        "slayer/utils/recurrent.py custom_recurrent, slayer/neuron/dynamics/leaky_integrator.py; "
        "measured: tests/peers/from_lava_dl.py, and the Braille trace that came with the NIR paper"
    ),
    fields={
        "dt": 1e-4,
        "reset": "value",
        "decay": "euler",
        "spikes": "single",
        "input_gain": "r",
        "if_unit": "step",
        "recurrent_cut": "spikes",
        "v_min": "none",
    },
    notes=(
        "The float meaning. lava-dl itself keeps states on a grid of 1/4096 and decays of 12 bit; "
        "from 0.6.0 on its recurrent block also rounds weights to 8 bit.",
        "The recurrent block ignores the bias of the recurrent affine at every step. To see what "
        "lava-dl sees, set that bias to zero: Braille then differs from the stored trace in 9 of "
        "9728 entries (12-bit states), else in 158.",
        "The importer takes CubaLIF only with r = tau_mem/dt, v_leak 0 and one value per layer, "
        "ignores v_reset, and refuses LIF. For IF it multiplies the threshold by r.",
    ),
)

#: Presets by name.
CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {c.name: c for c in (_SNNTORCH, _SINABS, _SPIKINGJELLY, _NORSE, _ROCKPOOL, _LAVA_DL)}
)


def convention(name: str) -> Convention:
    """Return the preset called ``name``.

    Raises
    ------
    ContractError
        For a name that is not in ``CONVENTIONS``.
    """
    if name not in CONVENTIONS:
        raise ContractError(
            f"contract: --convention {name!r} is unknown; choose from {', '.join(CONVENTIONS)}"
        )
    return CONVENTIONS[name]
