"""An affine layer over frames on a CPU, in training: the layout and the products that this machine multiplies fastest.

Four things that a plain Conv1d or Linear does otherwise, each measured (bench/training.py):
* Frames are rows, [B, T, C] in memory, so that batch normalisation reads whole rows and oneDNN's convolution nothing twice.
* Also a layer of one frame is a convolution: in float32 torch gives Linear to MKL, which is half as fast on AMD.
* The weights' gradient in bf16 is a sum of products of a few thousand frames, which stay in the cache, and not one product
  of all of them. Their sum is in float32, which is more exact as well.
* The bias's gradient is a sum over rows; oneDNN's own makes the weights' slower.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 2048  # frames of a product of the weights' gradient
FEW = 64  # input channels so few that such products are too thin


def frame_affine(x: Tensor, weight: Tensor, bias: Tensor, dilation: int = 1) -> Tensor:
    """What Conv1d does with zero padding at both ends: as many frames out as in. Autocast as there.

    Shape: x [B, T, C_in], weight [C_out, C_in, taps], bias [C_out] → [B, T, C_out], contiguous. The frames of an output are
    those `dilation` apart around its own. Once differentiable.
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
            return torch.ops.aten.convolution_backward(
                _image(gradient), _image(x), kernel, None, [1, 1], [0, ctx.reach], [1, ctx.dilation], False, [0, 0], 1,
                [of_x, of_weight, False],
            )  # fmt: skip

        of_x = _frames(convolution_backward(True, False)[0]) if ctx.needs_input_grad[0] else None
        if x.dtype == torch.bfloat16 and TAPS3 == "flat" and x.shape[2]>=64:
            of_weight = _flat(gradient, x, kernel.shape[3], ctx.dilation)
        elif x.dtype == torch.bfloat16 and TAPS3 == "chunk" and x.shape[2]>=64 and ctx.reach:
            of_weight = _weight_gradient(gradient, x, kernel.shape[3], ctx.dilation)
        elif x.dtype == torch.bfloat16 and ctx.reach == 0:
            of_weight = (gradient.flatten(0,1).t() @ x.flatten(0,1)).unsqueeze(2)
        else:
            of_weight = convolution_backward(False, True)[1].squeeze(2)
        wide = torch.promote_types(gradient.dtype, torch.float32)
        of_bias = torch.zeros(gradient.shape[2], dtype=wide)
        for rows in gradient.flatten(0,1).split(512):
            of_bias += rows.sum(0, dtype=wide)
        return of_x, of_weight, of_bias, None, None

TAPS3="conv"
def _flat(gradient, x, taps, dilation):
    B,T,O=gradient.shape; I=x.shape[2]
    if taps==1: return (gradient.flatten(0,1).t() @ x.flatten(0,1)).unsqueeze(2)
    reach = dilation * (taps - 1) // 2
    gf=gradient.flatten(0,1); xf=x.flatten(0,1); N=B*T
    out=[]
    for tap in range(taps):
        o=tap*dilation-reach
        if o==0: out.append(gf.t()@xf); continue
        a=abs(o)
        if o>0:
            edge=gradient[:,T-a:].clone(); gradient[:,T-a:]=0
            out.append(gf[:N-a].t()@xf[a:]); gradient[:,T-a:]=edge
        else:
            edge=gradient[:,:a].clone(); gradient[:,:a]=0
            out.append(gf[a:].t()@xf[:N-a]); gradient[:,:a]=edge
    return torch.stack(out,2)

def _weight_gradient(gradient: Tensor, x: Tensor, taps: int, dilation: int) -> Tensor:
    """Σ_bt gradient_bt ⊗ x_b(t + offset of a tap): [C_out, C_in, taps] float32."""
    num_frames, in_dim, out_dim = x.shape[1], x.shape[2], gradient.shape[2]
    reach = dilation * (taps - 1) // 2
    total = torch.zeros(taps, out_dim, in_dim)
    per_product = max(1, ROWS // num_frames)
    for rows, of_rows in zip(x.split(per_product), gradient.split(per_product), strict=True):
        of_frames = of_rows.reshape(-1, out_dim).t()
        padded = F.pad(rows, (0, 0, reach, reach)) if reach else rows
        for tap in range(taps):
            seen = padded[:, tap * dilation : tap * dilation + num_frames]
            total[tap] += of_frames @ seen.reshape(-1, in_dim)
    return total.permute(1, 2, 0)


def _image(frames: Tensor) -> Tensor:
    """[B, T, C] → [B, C, 1, T] without a copy: channels last, the layout in which oneDNN convolves as it stands."""
    return frames.transpose(1, 2).unsqueeze(2)


def _frames(image: Tensor) -> Tensor:
    return image.squeeze(2).transpose(1, 2).contiguous()
