"""The PixelCNN as what draws the texture of lossy pictures: tuned on contexts of its own making.

Trained on true contexts alone, a sampled picture runs away in colour within some thirty pixels: nothing has taught the
network to come back to the decoded picture. So a copy of the one that codes is tuned on contexts that it drew itself, all
pixels at once, once to four times over, and has the true pixels as target (scheduled sampling, Bengio et al. 2015; done in
parallel, as Mihaylova & Martins 2019 do).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .texture import LOG_SCALES, Texture

CUT = 0.06
"""The share of each logistic's mass that is left out on either side when it is drawn from."""


@torch.no_grad()
def own_context(model: Texture, x: Tensor, decoded: Tensor, code: Tensor) -> Tensor:
    """What the model draws, all pixels at once, when it sees x (B, 3, H, W)."""
    parameters, predicted = model(x, decoded, code)
    return predicted + drawn(parameters, model.config.mixtures)


def drawn(parameters: Tensor, mixtures: int) -> Tensor:
    """Residuals drawn from the mixtures (B, 10 K, H, W), whole numbers: (B, 3, H, W)."""
    b, _, height, width = parameters.shape
    o = parameters.view(b, 10, mixtures, height, width)
    noise = -torch.log(-torch.log(torch.rand_like(o[:, 0]).clamp(1e-9, 1 - 1e-7)))
    chosen = (o[:, 0] + noise).argmax(1, keepdim=True)  # Gumbel-max: a draw from the softmax
    _, luma, orange, orange_y, green, green_y, green_co, *log_scales = o.gather(
        2, chosen[:, None].expand(-1, 10, -1, -1, -1)
    )[:, :, 0].unbind(1)

    def around(mean: Tensor, log_scale: Tensor) -> Tensor:
        u = CUT + (1 - 2 * CUT) * torch.rand_like(mean)
        return torch.round(mean + torch.exp((log_scale + 1).clamp(*LOG_SCALES)) * torch.logit(u))

    y = around(luma * 4, log_scales[0])
    co = around(orange * 4 + y * torch.tanh(orange_y), log_scales[1])
    cg = around(green * 4 + y * torch.tanh(green_y) + co * torch.tanh(green_co), log_scales[2])
    return torch.stack([y, co, cg], 1)
