"""VideoMambaPro's mixer: VideoMamba's, whose scans start from their first input and whose backward scan is masked.

Four mixers go by that name. The paper describes one; the released code holds three, and none is the paper's:

    variant         directions  their parameters         u, input of the scan   backward scan
    paper           both        each its own             convolved              masked
    released_v1     both        shared but A             raw x                  masked, with the forward convolution
    released_v2     both        each its own             raw x                  not masked
    released_none   forward     -                        convolved              -

"Raw x" is what in_proj made, before convolution and silu: the released functions hand that to the scan, and use the
convolved x for Δ, B and C alone. All scans start from h_{-1} = u_0, see `pro_scan`.

Source: VideoMambaPro (arXiv 2406.19006) §4; `Mamba` (mamba/mamba_ssm/modules/mamba_simple.py) and `bimamba_inner_ref`,
`mamba_inner_fn_no_out_proj`, `mamba_inner_ref` (mamba/mamba_ssm/ops/selective_scan_interface.py), all of
hotfinda/VideoMambaPro, which reads token by token in Python. Here the engines of `vmamba_kernels` do.
"""

from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.mixer import DirectionParameters, Mixer, ScanArguments
from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.models.pro_scan import first_input, hide_first
from vmamba_edu.models.token_order import TokenOrder
from vmamba_edu.scan_orders import Direction

ProVariant = Literal["paper", "released_v1", "released_v2", "released_none"]
PRO_VARIANTS: tuple[ProVariant, ...] = get_args(ProVariant)
MASKED = ("paper", "released_v1")
RAW = ("released_v1", "released_v2")


class ProScanArguments(ScanArguments, total=False):
    """Those of a scan that starts from its first input; `exclude_self` where it is masked."""

    initial_state: Float[Tensor, "batch inner state"]
    exclude_self: bool


class ProMixer(Mixer):
    """Mixes tokens along the sequence, (batch, length, dim) → (batch, length, dim), as VideoMambaPro does.

    Args:
        dim, d_state, d_conv, expand, dt_rank: as for `Mixer`.
        variant: "paper", "released_v1", "released_v2" or "released_none", see the table above. "paper" and
            "released_v2" have the parameters of VideoMamba's mixer and load its checkpoints; "released_v1" has those of
            one direction and `A_b_log`; "released_none" those of one direction.
        if_divide_out: halve the sum of both directions. The released code does so in v2 alone and ignores the keyword
            elsewhere; here it is refused elsewhere.
        init_layer_scale: if given, `gamma`, one factor a channel that starts at this value, multiplies the output.
        scan_order: as for `Mixer`. The paper and the released code read spatial-first alone. Every plan works: each
            reading starts from the token that is first in its own order, and each backward one is masked. Only
            "spatiotemporal_v1" needs both directions and is refused for "released_none".

    Raises:
        ValueError: there is no such variant, it has no sum to be halved, or it lacks a direction of the scan order.
    """

    def __init__(
        self,
        dim: int,
        *,
        variant: str = "released_v1",
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | Literal["auto"] = "auto",
        if_divide_out: bool = False,
        init_layer_scale: float | None = None,
        scan_order: str = "spatial_first",
    ):
        check_variant(variant, if_divide_out, scan_order)
        own_parameters = variant in ("paper", "released_v2")
        super().__init__(
            dim,
            d_state=d_state,
            d_conv=d_conv,
            expand=expand,
            dt_rank=dt_rank,
            bidirectional=own_parameters,
            scan_order=scan_order,
        )
        self.variant, self.if_divide_out = variant, if_divide_out
        if variant == "released_v1":
            self.directions = ("forward", "backward")
            self.A_b_log = nn.Parameter(self.A_log.detach().clone())
        if init_layer_scale is not None:
            self.gamma = nn.Parameter(torch.full((dim,), float(init_layer_scale)))

    def forward(
        self, x: Float[Tensor, "batch length dim"], order: TokenOrder | None = None
    ) -> Float[Tensor, "batch length dim"]:
        """What every reading made, added, and halved or scaled where that was asked for; see `Mixer.forward`."""
        y = super().forward(x, order)
        if self.if_divide_out:
            y = y / 2  # the released code halves before out_proj, which has no bias: it is the same
        return y * self.gamma if hasattr(self, "gamma") else y

    def scan_arguments(
        self, tokens: Float[Tensor, "batch length twice_inner"], direction: Direction
    ) -> ProScanArguments:
        """As those of `Mixer`, with an initial state; where the scan is masked, with `exclude_self` and another C.

        C is zero at the first token that the masked scan reads, so that the initial state, which is that token's own
        input, is not read there either: the whole diagonal is masked, as `masked_scan` does for every layout of C.
        """
        backward = direction == "backward"
        # In released_v1 the backward scan reads what the forward convolution made: causal, where v2's is anti-causal.
        shared = backward and self.variant == "released_v1"
        arguments = cast(ProScanArguments, super().scan_arguments(tokens, "forward" if shared else direction))
        if shared:
            arguments["A"] = -torch.exp(at_least_float32(self.A_b_log))
        if self.variant in RAW:
            arguments["u"] = tokens.transpose(1, 2).chunk(2, dim=1)[0]
        arguments["initial_state"] = first_input(arguments["u"], arguments["A"], reverse=backward)
        if backward and self.variant in MASKED:
            arguments["C"] = hide_first(arguments["C"], reverse=True)
            arguments["exclude_self"] = True
        return arguments

    def parameters_of(self, direction: Direction) -> DirectionParameters:
        """As `Mixer.parameters_of`; both directions of "released_v1" share all but A_log."""
        if direction == "backward" and self.variant == "released_v1":
            return super().parameters_of("forward")._replace(A_log=self.A_b_log)
        return super().parameters_of(direction)


def check_variant(variant: object, if_divide_out: bool = False, scan_order: str = "spatial_first") -> None:
    """Raise unless there is such a variant, it has a sum if that is to be halved, and the directions of the scan order.

    Raises:
        ValueError: there is none.
    """
    if variant not in PRO_VARIANTS:
        raise ValueError(f"variant: expected {', '.join(map(repr, PRO_VARIANTS))}, got {variant!r}")
    if if_divide_out and variant != "released_v2":
        raise ValueError(
            f"if_divide_out: expected False, as only 'released_v2' halves its sum; got True with {variant!r}"
        )
    if variant == "released_none" and scan_order == "spatiotemporal_v1":
        reason = "'released_none' reads forward alone and 'spatiotemporal_v1' backward in time"
        raise ValueError(f"scan_order: expected another one, as {reason}")
