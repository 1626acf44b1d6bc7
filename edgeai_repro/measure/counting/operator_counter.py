"""Counts the products of every operator that runs while it is entered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from edgeai_repro.errors import UserError
from edgeai_repro.measure.counting.known import has_no_products, name_of
from edgeai_repro.measure.counting.operators import RULES
from edgeai_repro.measure.counting.origins import CONSTANT, Origin, Origins, join
from edgeai_repro.measure.counting.packed import bits_of, packed_key
from edgeai_repro.measure.counting.products import (
    Call,
    PackedProduct,
    Product,
    Rule,
    distinct_size,
    rows,
    stored_size,
)
from edgeai_repro.measure.counting.stored_values import StoredValue, count_nonzero
from edgeai_repro.measure.counting.work import Kind, Run

PLAIN = {Tensor, nn.Parameter, nn.Buffer}
INT8 = 8


class _Plan(NamedTuple):
    """What to do with an operator."""

    name: str
    rule: Rule | None
    is_unknown: bool
    is_composite: bool
    changes_arguments: bool
    arguments: list[str]


class OperatorCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products of all operators that run while it is entered.

    Products of stored values with each other count only if they don't make a weight: a reparametrised weight is the
    same for every input, so that a runtime computes it once. An operator without a rule whose inputs are all stored
    makes no difference for the same reason.
    """

    supports_higher_order_operators = True

    def __init__(self, values: Sequence[StoredValue]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = Run()
        self._origins = Origins(values)
        self._packed: defaultdict[int, list[StoredValue]] = defaultdict(list)
        self._nonzero: dict[tuple[object, ...], int] = {}
        for value in values:
            if value.packed is not None:
                self._packed[value.packed].append(value)
            elif value.is_parameter and len(value.tensors) == 1 and value.tensors[0].layout == torch.strided:
                self._nonzero[_place(value.tensors[0])] = value.nonzero
        self._plans: dict[OpOverload, _Plan] = {}
        self._of_stored: dict[int, tuple[str, int, int, int]] = {}  # products of stored values with each other

    def finish(self, inputs: Any, outputs: Any) -> Run:
        """Return what was counted. Raises UserError if no output was computed from the inputs by operators."""
        for tensor in _tensors(tree_leaves(inputs)):
            self._origins.note(tensor)
        made = [tensor for tensor in _tensors(tree_leaves(outputs)) if type(tensor) is Tensor]
        if made and not any(self._origins.is_from_input(tensor) for tensor in made):
            raise UserError(
                "the network must compute with operators that can be observed (got an output from elsewhere); "
                "do without NumPy and threads in its forward"
            )
        for operator, *product in self._of_stored.values():
            macs, nonzero, bits = product
            self._run.of(operator, "linear").add(macs, nonzero, 0, bits)
        self._of_stored.clear()
        return self._run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, count its products and note where its output comes from."""
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        plan = self._plans.get(func) or self._plan(func)
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        if any(type(tensor) not in PLAIN and is_traceable_wrapper_subclass(tensor) for tensor in tensors):
            return NotImplemented  # the subclass runs operators on the tensors in it, and they come here
        if plan.is_composite:
            with self:
                return func.decompose(*args, **kwargs)
        output = func(*args, **kwargs)
        # Values from Python or NumPy are lifted.
        origin = CONSTANT if plan.name == "aten::lift_fresh" else self._origins.joined(tensors)
        if plan.rule is not None:
            call = Call(dict(zip(plan.arguments, args, strict=False)) | kwargs, output)
            products = self._count(plan.name, plan.rule(call))
            origin = join([origin, Origin(products=products)]) if origin is not None and products else origin
        elif plan.is_unknown and origin is None:
            self._run.uncounted.add(plan.name)
        is_new = origin is not None or plan.changes_arguments
        for tensor in _tensors((output,)):
            self._origins.note(tensor)
            if is_new:
                self._origins.set(tensor, origin)
        return output

    def _plan(self, func: OpOverload) -> _Plan:
        name = name_of(func)
        rule = RULES.get(name)
        is_unknown = rule is None and not has_no_products(func)
        self._plans[func] = _Plan(
            name,
            rule,
            is_unknown,
            is_unknown and func._can_decompose(),
            func._schema.is_mutable,
            [argument.name for argument in func._schema.arguments],
        )
        return self._plans[func]

    def _higher_order(self, func: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
        name: str = func.name()  # type: ignore[no-untyped-call]
        if name == "cond":
            predicate, if_true, if_false, operands = args
            with self:
                return (if_true if predicate else if_false)(*operands)
        output = func(*args, **kwargs)
        for tensor in _tensors((output,)):
            self._origins.note(tensor)
        if rule := RULES.get(name):
            self._count(name, rule(Call(dict(zip(("query", "key", "value"), args, strict=False)), output)))
        else:
            self._run.uncounted.add(name)
        return output

    def _count(self, operator: str, products: Iterator[Product | PackedProduct]) -> frozenset[int]:
        """Add the products of a call; return the numbers of those of stored values with each other."""
        numbers: set[int] = set()
        calls: set[Kind] = set()
        for product in products:
            if isinstance(product, PackedProduct):
                calls.add(self._count_packed(operator, product))
                continue
            first, second = self._origins.of(product.first), self._origins.of(product.second)
            if first and first.stored and second and second.stored:
                numbers.add(len(self._of_stored))
                self._of_stored[len(self._of_stored)] = (operator, *self._figures(product, product.second))
            elif second and second.stored:
                calls.add(self._count_weight(operator, product, product.second, second))
            elif first and first.stored:
                calls.add(self._count_weight(operator, product, product.first, first))
            else:
                kind: Kind = "conv" if product.kind == "conv" else "attention"
                macs, _, bits = self._figures(product, None)
                self._run.of(operator, kind).add(macs, macs, macs, bits)
                calls.add(kind)
        for kind in calls:
            self._run.of(operator, kind).calls += 1
        return frozenset(numbers)

    def _count_weight(self, operator: str, product: Product, weight: Tensor, origin: Origin) -> Kind:
        """Add a product of stored values with others."""
        kind: Kind = "linear" if product.kind == "matrix" else product.kind
        macs, nonzero, bits = self._figures(product, weight)
        self._run.of(operator, kind).add(macs, nonzero, 0, bits)
        if kind == "conv" or (kind == "linear" and weight.ndim <= 2):  # else it may be a learned query
            for number in origin.products:
                self._of_stored.pop(number, None)
        for value in origin.stored:
            self._run.kinds.setdefault(value, kind)
        if product.opaque or not any(value.is_parameter for value in origin.stored):
            largest = max(origin.stored, key=lambda value: value.size)  # the others are its scales, or a mask
            size = product.macs // rows(product.first) if product.opaque else distinct_size(weight)
            self._run.weights.setdefault(largest, (size, size * nonzero // max(macs, 1)))
        return kind

    def _count_packed(self, operator: str, product: PackedProduct) -> Kind:
        kind: Kind = "linear" if product.kind == "matrix" else "conv"
        for value in self._packed[packed_key(product.weights)]:
            bits = value.value_bits
            of_features = INT8 if bits == INT8 else bits_of(product.features.dtype)
            work = self._run.of(operator, kind)
            work.add(product.times * value.size, product.times * value.nonzero, 0, bits * of_features)
            self._run.kinds.setdefault(value, kind)
        return kind

    def _figures(self, product: Product, weight: Tensor | None) -> tuple[int, int, int]:
        """Return the MACs of a product, those of weights that are not 0, and bits × bits of the operands."""
        first, second = product.bits or (bits_of(product.first.dtype), bits_of(product.second.dtype))
        if weight is None or product.opaque:
            return product.macs, product.macs, first * second
        size = stored_size(weight)
        nonzero = product.macs * self._nonzero_of(weight) // size if size else 0
        return product.macs, nonzero, first * second

    def _nonzero_of(self, weight: Tensor) -> int:
        if weight.is_meta or weight.layout != torch.strided:
            return count_nonzero(weight)
        place = _place(weight)
        if place not in self._nonzero:
            self._nonzero[place] = count_nonzero(weight)
        return self._nonzero[place]


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Return a key that is the same for all tensors with the same values in the same place of memory."""
    version = 0 if tensor.is_inference() else tensor._version
    place = (tensor.untyped_storage()._cdata, tensor.storage_offset(), version)
    last = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    if last + 1 == tensor.numel():  # nothing is left out or repeated, so that the order makes no difference
        return *place, tensor.numel()
    return *place, tensor.shape, tensor.stride()


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in arguments or outputs, also those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
