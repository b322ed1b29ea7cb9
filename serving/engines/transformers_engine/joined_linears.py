"""Linear layers that read the same input become one product, and the place where adapters are added.

Which layers these are is seen by watching one small forward, so that no family is named: q, k and v of most families,
gate and up, or what a family has already joined itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.lora import LoraStack, StepRows
from serving.engines.transformers_engine.packing import PackedLinear, packed


class JoinedLinear(nn.Module):
    """Linear layers over one input. Inference only.

    `product` maps (…, in_features) to (…, sum of sizes): the members' outputs side by side.
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int], product: nn.Module, in_features: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.sizes = tuple(sizes)
        self.in_features = in_features
        self.product = product
        self.rows: StepRows | None = None
        """None where rows of the step do not arrive one by one, such as in an expert: no adapter can be added there."""
        self.lora: LoraStack | None = None
        """What `use` was given last."""
        self._number = kernels.number_of(self) if _adds_by_kernel(product) else None
        self._input: torch.Tensor | None = None
        self._outputs: tuple[torch.Tensor, ...] = ()
        self._left = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.product(inputs)
        if self.rows is None:
            return outputs
        if self._number is not None:  # asked even if there is no adapter: in a traced step there may be one later
            return kernels.operators().add_lora(inputs, outputs, self._number, self.rows.number)
        if self.lora is not None and self.rows.weights is not None:
            self.lora.add(inputs, outputs, self.rows.weights)
        return outputs

    def use(self, lora: LoraStack | None) -> None:
        """Add what these adapters make of the inputs from now on."""
        self.lora = lora
        if self._number is not None:
            matrices = (None, None, 0) if lora is None else (lora.down, lora.up, lora.ranks)
            kernels.operators().set_adapters(self._number, *matrices)

    def member(self, index: int, inputs: torch.Tensor) -> torch.Tensor:
        """The output of one member. The first that is asked for its output computes those of all."""
        if len(self.sizes) == 1:
            return self(inputs)
        if self._input is not inputs:
            self._input = inputs
            self._outputs = self(inputs).split(self.sizes, dim=-1)
            self._left = len(self.sizes)
        output = self._outputs[index]
        self._left -= 1
        if not self._left:
            self._input, self._outputs = None, ()
        return output


class Member(nn.Module):
    """Stands where a linear layer stood."""

    def __init__(self, joined: JoinedLinear, index: int) -> None:
        super().__init__()
        # not a submodule: it would be one of each of its members
        object.__setattr__(self, "joined", joined)
        self._index = index
        self.in_features = joined.in_features
        self.out_features = joined.sizes[index]

    joined: JoinedLinear

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.joined.member(self._index, inputs)


@dataclass(frozen=True)
class _Call:
    """One call of a linear layer in the watched forward. Holds its input, whose identity so stays its own."""

    name: str
    module: nn.Linear
    inputs: torch.Tensor


@torch.inference_mode()
def join_linears(model: nn.Module, run: Callable[[], object], rows: int, step: StepRows) -> list[JoinedLinear]:
    """Replace the linear layers of `model`; returns what stands in their place.

    run: computes a forward of `rows` rows, with the rows in the last dimension but one.
    Layers that this forward does not call, or calls more than once, stay alone and take no adapters; so do those that
    get other rows than the step's, and the one that gives the logits.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    calls: list[_Call] = []

    def watch(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.Linear)
        calls.append(_Call(names[module], module, arguments[0]))

    hooks = [module.register_forward_pre_hook(watch) for module in names]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    often = Counter(call.name for call in calls)
    output = getattr(model, "get_output_embeddings", lambda: None)()
    once = [call for call in calls if often[call.name] == 1 and call.module is not output]
    joined: list[JoinedLinear] = []
    for siblings in _siblings(once):
        layer = _join([(call.name, call.module) for call in siblings])
        if siblings[0].inputs.shape[-2:-1] == (rows,) and siblings[0].inputs.numel() == rows * layer.in_features:
            layer.rows = step
        joined.append(layer)
    seen = {name for layer in joined for name in layer.names}
    joined += [_join([(name, module)]) for module, name in names.items() if name not in seen and _is_plain(module)]
    for layer in joined:
        for index, name in enumerate(layer.names):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, Member(layer, index))
    return joined


def _siblings(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Calls with the same input from the same parent; what is no plain layer, such as a quantized one, is alone."""
    groups: list[list[_Call]] = []
    for call in calls:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and last.inputs is call.inputs
            and last.name.rpartition(".")[0] == call.name.rpartition(".")[0]
            and _is_plain(last.module)
            and _is_plain(call.module)
        ):
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def _is_plain(module: nn.Linear) -> bool:
    return type(module) is nn.Linear


def _adds_by_kernel(product: nn.Module) -> bool:
    return (type(product) is nn.Linear or isinstance(product, PackedLinear)) and kernels.can_add(product.weight)


def _join(members: Sequence[tuple[str, nn.Linear]]) -> JoinedLinear:
    linears = [linear for _, linear in members]
    product = linears[0] if len(linears) == 1 else _concatenated(linears)
    if _is_plain(product):
        product = packed(product)
    return JoinedLinear(
        [name for name, _ in members],
        [linear.out_features for linear in linears],
        product,
        linears[0].in_features,
    )


def _concatenated(linears: Sequence[nn.Linear]) -> nn.Linear:
    joined = nn.Linear(1, 1, bias=False, device="meta")
    joined.in_features, joined.out_features = linears[0].in_features, sum(linear.out_features for linear in linears)
    joined.weight = nn.Parameter(torch.cat([linear.weight for linear in linears]), requires_grad=False)
    if any(linear.bias is not None for linear in linears):
        biases = [
            linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias for linear in linears
        ]
        joined.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return joined
