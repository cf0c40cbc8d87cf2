"""Passes whose gradient is differentiated again, as penalties on slopes do."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight
from torch.overrides import TorchFunctionMode

INPUT, WEIGHT, OUTPUT = PLACES = range(3)


@contextmanager
def double_backward(device: torch.device) -> Iterator[None]:
    """Surround such a pass and its first gradient: half precision would lose it, and compiled code has only one."""
    with torch.autocast(device.type, enabled=False), torch.compiler.set_stance("force_eager"), _OwnConvolutions():
        yield


class _OwnConvolutions(TorchFunctionMode):
    """F.conv2d is `convolution` here, whose second derivative is quicker: python -m tests.bench.bench_penalty"""

    def __torch_function__(
        self, called: Any, types: Sequence[type], args: Sequence[Any] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        if called is torch.conv2d and not named and len(args) == 7 and args[0].ndim == 4 and args[4] != "same":
            return convolution(*args)
        return called(*args, **(named or {}))


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *layout: Any) -> Tensor:
    """Compute F.conv2d(x, weight, bias, stride, padding, dilation, groups), any number of times differentiable."""
    y = _Convolution.apply(OUTPUT, x, weight, None, layout)
    return y if bias is None else y + bias[:, None, None]


class _Convolution(Function):
    """The sum of output · (input ∗ weight) is linear in each of the three, and its derivative by one of them is made of the
    two others: the convolution itself, and the gradients of its input and of its weight. So are their own derivatives."""

    @staticmethod
    def forward(ctx: Any, wanted: int, x: Tensor, weight: Tensor, output: Tensor | None, layout: tuple) -> Tensor:
        """Make the one of the three whose place is `wanted`; what stands there gives its shape alone."""
        three = (x, weight, output)
        ctx.wanted, ctx.layout = wanted, layout
        ctx.save_for_backward(*(None if place == wanted else tensor for place, tensor in enumerate(three)))
        return _made(wanted, *three, layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        three = list(ctx.saved_tensors)
        three[ctx.wanted] = gradients[0]
        found: list[Tensor | None] = [None] * 3
        for place in PLACES:
            if place != ctx.wanted and ctx.needs_input_grad[1 + place]:
                found[place] = _Convolution.apply(place, *three, ctx.layout)
        return None, *found, None


def _made(wanted: int, x: Any, weight: Any, output: Any, layout: tuple) -> Tensor:
    if wanted == INPUT:
        return conv2d_input(x.shape, weight, output, *layout)
    if wanted == WEIGHT:
        return conv2d_weight(x, weight.shape, output, *layout)
    return torch.conv2d(x, weight, None, *layout)
