"""Passes whose gradient is differentiated again, as penalties on slopes do."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight
from torch.overrides import TorchFunctionMode

Layout = tuple[Any, ...]  # stride, padding, dilation, groups


@contextmanager
def differentiable_twice(device: torch.device) -> Iterator[None]:
    """Around such a pass and its first gradient: half precision would lose it, and compiled code has only one."""
    with torch.autocast(device.type, enabled=False), torch.compiler.set_stance("force_eager"), _OwnConvolutions():
        yield


class _OwnConvolutions(TorchFunctionMode):
    """F.conv2d is `convolution` here: torch's second derivative of it is the slowest part of a penalty."""

    def __torch_function__(
        self, called: Any, types: Sequence[type], args: Sequence[Any] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        if called is torch.conv2d and not named and len(args) == 7 and args[0].ndim == 4 and args[4] != "same":
            return convolution(*args)
        return called(*args, **(named or {}))


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *layout: Any) -> Tensor:
    """F.conv2d(x, weight, bias, stride, padding, dilation, groups), any number of times differentiable.

    It is linear in the input and in the weight. So are its two gradients, in their two arguments, and the derivatives
    of each of the three maps are the two others.
    """
    y = _Convolution.apply(x, weight, layout)
    return y if bias is None else y + bias[:, None, None]


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layout: Layout) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layout = layout
        return torch.conv2d(x, weight, None, *layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        by_input, by_weight, _ = ctx.needs_input_grad
        return (
            _OfInput.apply(gradient, weight, x.shape, ctx.layout) if by_input else None,
            _OfWeight.apply(gradient, x, weight.shape, ctx.layout) if by_weight else None,
            None,
        )


class _OfInput(Function):
    """The gradient of the input, from the output's and the weight."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, shape: torch.Size, layout: Layout) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.layout = layout
        return conv2d_input(shape, weight, gradient, *layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (gradient, weight) = gradients, ctx.saved_tensors
        by_gradient, by_weight, *_ = ctx.needs_input_grad
        return (
            _Convolution.apply(x, weight, ctx.layout) if by_gradient else None,
            _OfWeight.apply(gradient, x, weight.shape, ctx.layout) if by_weight else None,
            None,
            None,
        )


class _OfWeight(Function):
    """The gradient of the weight, from the output's and the input."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, shape: torch.Size, layout: Layout) -> Tensor:
        ctx.save_for_backward(gradient, x)
        ctx.layout = layout
        return conv2d_weight(x, shape, gradient, *layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,), (gradient, x) = gradients, ctx.saved_tensors
        by_gradient, by_input, *_ = ctx.needs_input_grad
        return (
            _Convolution.apply(x, weight, ctx.layout) if by_gradient else None,
            _OfInput.apply(gradient, weight, x.shape, ctx.layout) if by_input else None,
            None,
            None,
        )
