"""An affine layer over frames on a CPU, in training: the layout and the kernels in which it multiplies fastest.

What a plain Conv1d or Linear does otherwise, each measured by bench/training.py:
* Frames are rows, [B, T, C] in memory: batch normalisation reads whole rows, and oneDNN convolves the layout as it stands.
* A layer of one frame is a convolution too: in float32 torch leaves Linear to MKL, which is half as fast on AMD.
* But its weights' gradient in bf16 is a matrix product, which oneDNN has faster than the convolution's.
* The bias's gradient comes from batch normalisation's kernel: torch's sum over rows takes twice as long, and the
  convolution's own makes that of the weights slower.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = {torch.bfloat16: 2048}  # summed at a time; 512 in types that have digits to lose


def frame_affine(x: Tensor, weight: Tensor, bias: Tensor, dilation: int = 1) -> Tensor:
    """What Conv1d does with zero padding at both ends: as many frames out as in. Under autocast in its type, as there.

    Shape: x [B, T, C_in], weight [C_out, C_in, taps], bias [C_out] → [B, T, C_out], contiguous; each frame out is made of
    `taps` frames around its own, `dilation` apart. Once differentiable.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    out: Tensor = _FrameAffine.apply(x, weight, bias, dilation, dtype)
    return out


class _FrameAffine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: int, dtype: torch.dtype) -> Tensor:
        x = x.to(dtype).contiguous()
        kernel = weight.to(dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)
        reach = dilation * (weight.shape[2] - 1) // 2
        z = F.conv2d(_image(x), kernel, bias.to(dtype), padding=(0, reach), dilation=(1, dilation))
        ctx.save_for_backward(x, kernel)
        ctx.dilation, ctx.reach = dilation, reach
        return _frames(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        x, kernel = ctx.saved_tensors
        gradient = gradient.contiguous()

        def convolution_backward(of_x: bool, of_weight: bool) -> list[Tensor]:
            out: list[Tensor] = torch.ops.aten.convolution_backward(
                _image(gradient), _image(x), kernel, None, [1, 1], [0, ctx.reach], [1, ctx.dilation], False, [0, 0], 1,
                [of_x, of_weight, False],
            )  # fmt: skip
            return out

        of_x = _frames(convolution_backward(True, False)[0]) if ctx.needs_input_grad[0] else None
        if kernel.shape[3] == 1 and x.dtype == torch.bfloat16:
            # the narrower side as the rows: the wider one takes up to half as long again on two threads
            ins, outs = x.flatten(0, 1), gradient.flatten(0, 1)
            product = outs.t() @ ins if outs.shape[1] < ins.shape[1] else (ins.t() @ outs).t()
            of_weight = product.unsqueeze(2)
        else:
            of_weight = convolution_backward(False, True)[1].squeeze(2)
        return of_x, of_weight, _sum_rows(gradient.flatten(0, 1)), None, None


def _image(frames: Tensor) -> Tensor:
    """[B, T, C] → [B, C, 1, T] without a copy: channels last."""
    return frames.transpose(1, 2).unsqueeze(2)


def _frames(image: Tensor) -> Tensor:
    return image.squeeze(2).transpose(1, 2).contiguous()


def _sum_rows(rows: Tensor) -> Tensor:
    """[N, C] → [C], in float32 or wider: what the gradient of a batch normalisation's shift would be.

    That of a few rows, and then their sum: the kernel adds one row after the other, which in float32 costs digits.
    """
    mean = torch.zeros(rows.shape[1], dtype=torch.promote_types(rows.dtype, torch.float32))
    shift, batch_norm_backward = torch.ones_like(mean), torch.ops.aten.native_batch_norm_backward
    parts = [
        batch_norm_backward(few, few, None, None, None, mean, shift, True, 0.0, [False, False, True])[2]
        for few in rows.split(ROWS.get(rows.dtype, 512))
    ]
    return torch.stack(parts).sum(dim=0)
