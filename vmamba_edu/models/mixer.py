"""The mixer: where tokens hear of each other. One projection in, a selective scan in each direction, one out.

    x ── in_proj ─┬─ x ── conv + silu ── u ─┬── x_proj, dt_proj ── Δ, B, C ──┐
                  │                         └────────────────────────────── scan ── · ── y ── out_proj
                  └─ z ─────────────────────────────────────────────────────── silu ┘

Symbols: B batch · L length · D dim · E inner dim = expand · D · N state size · R rank of Δ. Tokens are kept as
(batch, length, dim), and the operators, which speak of (batch, dim, length), get transposed views: nothing is copied.

The tokens come in the order they are stored in, spatial-first. A mixer of another `scan_order` reads them
temporal-first as well, or instead: it puts them in that order, convolution and all else happen there, and y comes back
to the stored order. Both orders share the parameters of a direction, and what all readings made is added before
out_proj.

Sources: Mamba (arXiv 2312.00752) figure 3 and algorithm 2; VideoMamba (arXiv 2403.06977) §3.2; `Mamba`
(mamba/mamba_ssm/modules/mamba_simple.py) for the names, the order and the shapes of the parameters.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from vmamba_kernels import bidirectional_scan, causal_conv1d, selective_scan

from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.models.token_order import TokenOrder, reorder
from vmamba_edu.scan_orders import PLANS, Direction, OrderName


class Operators(NamedTuple):
    """What carries something from token to token; all else in a model looks at each token by itself.

    By default those of `vmamba_kernels`; `split_sequence` has others, for tokens that are spread over processes.
    """

    causal_conv1d: Callable[..., Tensor] = causal_conv1d
    selective_scan: Callable[..., Tensor] = selective_scan
    bidirectional_scan: Callable[..., Tensor] = bidirectional_scan


class DirectionParameters(NamedTuple):
    """What a direction has of its own. in_proj and out_proj are shared by both."""

    conv1d: nn.Conv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    A_log: Tensor
    D: Tensor


class ScanArguments(TypedDict):
    """The arguments of `vmamba_kernels.selective_scan` for one direction, in the order of the tokens."""

    u: Float[Tensor, "batch inner length"]
    delta: Float[Tensor, "batch inner length"]
    A: Float[Tensor, "inner state"]
    B: Float[Tensor, "batch state length"]
    C: Float[Tensor, "batch state length"]
    D: Float[Tensor, " inner"]
    z: Float[Tensor, "batch inner length"]
    delta_bias: Float[Tensor, " inner"]
    delta_softplus: bool


class Mixer(nn.Module):
    """Mixes tokens along the sequence, (batch, length, dim) → (batch, length, dim), at a cost linear in the length.

    Args:
        dim: channels D of a token.
        d_state: state size N of every inner channel.
        d_conv: width of the causal convolution, 2 to 4.
        expand: inner channels for each channel of a token: E = expand · D.
        dt_rank: rank R of the map that makes Δ; "auto" is D / 16, rounded up.
        bidirectional: whether a second scan reads from the last token to the first, with parameters of its own (`_b`),
            and is added to the first one. Without it no token hears of a later one.
        scan_order: the plan of `vmamba_edu.scan_orders` that is followed. All but "spatial_first" must be told an order
            with the tokens.

    `backend` chooses the engine of the operators, as in `vmamba_kernels.selective_scan`; `operators` who calls it.
    """

    def __init__(
        self,
        dim: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | Literal["auto"] = "auto",
        bidirectional: bool = True,
        scan_order: str = "spatial_first",
    ):
        super().__init__()
        if scan_order not in PLANS:
            raise ValueError(f"scan_order: expected one of {', '.join(map(repr, PLANS))}, got {scan_order!r}")
        self.dim, self.d_state = dim, d_state
        self.inner_dim = inner_dim = expand * dim
        self.dt_rank = math.ceil(dim / 16) if dt_rank == "auto" else dt_rank
        self.directions: tuple[Direction, ...] = ("forward", "backward") if bidirectional else ("forward",)
        self.scan_order = scan_order
        self.backend = "auto"
        self.operators = Operators()

        # In the published order: optimisers store their state by position.
        self.A_log, self.D = initial_A_log(inner_dim, d_state), nn.Parameter(torch.ones(inner_dim))
        if bidirectional:
            self.A_b_log, self.D_b = initial_A_log(inner_dim, d_state), nn.Parameter(torch.ones(inner_dim))
        self.in_proj = nn.Linear(dim, 2 * inner_dim, bias=False)
        self.conv1d, self.x_proj, self.dt_proj = self._make_direction(d_conv)
        if bidirectional:
            self.conv1d_b, self.x_proj_b, self.dt_proj_b = self._make_direction(d_conv)
        self.out_proj = nn.Linear(inner_dim, dim, bias=False)

    def _make_direction(self, d_conv: int) -> tuple[nn.Conv1d, nn.Linear, nn.Linear]:
        conv1d = nn.Conv1d(self.inner_dim, self.inner_dim, d_conv, groups=self.inner_dim)
        x_proj = nn.Linear(self.inner_dim, self.dt_rank + 2 * self.d_state, bias=False)
        return conv1d, x_proj, nn.Linear(self.dt_rank, self.inner_dim)

    def forward(
        self, x: Float[Tensor, "batch length dim"], order: TokenOrder | None = None
    ) -> Float[Tensor, "batch length dim"]:
        """The sum of what every reading made, not halved, projected back to the width of a token.

        Args:
            x: the tokens as they are stored.
            order: the temporal-first order of these tokens, see `token_order.temporal_order`; "spatial_first" needs
                none.
        """
        if x.dim() != 3 or x.shape[-1] != self.dim:
            raise ValueError(f"x: expected (batch, length, {self.dim}), got {tuple(x.shape)}")
        spatial, temporal = self.directions_in("spatial_first"), self.directions_in("temporal_first")
        if not temporal:
            return self.out_proj(self.read_all(self.in_proj(x), spatial))
        if order is None:
            raise ValueError(
                f"order: expected the temporal-first order of the tokens for {self.scan_order!r}, got None"
            )
        if not spatial:  # reordered where a token is narrowest: all but the scans is done for each token by itself
            y = self.read_all(self.in_proj(reorder(x, order.there)), temporal)
            return reorder(self.out_proj(y), order.back)
        tokens = self.in_proj(x)
        y = self.read_all(reorder(tokens, order.there), temporal)
        return self.out_proj(self.read_all(tokens, spatial) + reorder(y, order.back))

    def directions_in(self, order: OrderName) -> tuple[Direction, ...]:
        """In which directions the tokens are read in an order: those of the plan that the mixer has parameters for."""
        plan = PLANS[self.scan_order]
        return tuple(r.direction for r in plan if r.order == order and r.direction in self.directions)

    def read_all(
        self, tokens: Float[Tensor, "batch length twice_inner"], directions: tuple[Direction, ...]
    ) -> Float[Tensor, "batch length inner"]:
        """The sum of one or both directions' readings of `tokens`, in the order they are in."""
        if len(directions) == 1:
            return self.read(tokens, directions[0])
        forward, backward = (self.scan_arguments(tokens, direction) for direction in directions)
        return self.operators.bidirectional_scan(forward, backward, backend=self.backend).transpose(1, 2)

    def read(
        self, tokens: Float[Tensor, "batch length twice_inner"], direction: Direction
    ) -> Float[Tensor, "batch length inner"]:
        """Scan `tokens` (the output of in_proj) in one direction and gate the result.

        The published code flips the whole sequence, reads it forwards, and flips the result back. The operators read
        from the end instead, which is the same without the copies: so the backward convolution is anti-causal.
        """
        arguments = self.scan_arguments(tokens, direction)
        y = self.operators.selective_scan(**arguments, reverse=direction == "backward", backend=self.backend)
        return y.transpose(1, 2)

    def scan_arguments(self, tokens: Float[Tensor, "batch length twice_inner"], direction: Direction) -> ScanArguments:
        """What one direction's scan is made of: the one place where u, Δ, A, B, C, D and z come to be.

        Args:
            tokens: the output of in_proj: the path of x first, then that of the gate z.
            direction: "forward", or "backward" where the mixer is bidirectional.

        Source: Mamba algorithm 2, lines 1 to 4; the discretisation of line 5 belongs to the scan.
        """
        conv1d, x_proj, dt_proj, A_log, D = self.parameters_of(direction)
        x, z = (part.transpose(1, 2) for part in tokens.chunk(2, dim=-1))
        weight = rearrange(conv1d.weight, "inner 1 width -> inner width")
        # The associative engine computes scans only. Like the reference it can be differentiated any number of times.
        backend = "reference" if self.backend == "associative" else self.backend
        convolve = self.operators.causal_conv1d
        u = convolve(x, weight, conv1d.bias, "silu", reverse=direction == "backward", backend=backend)
        dt, B, C = x_proj(u.transpose(1, 2)).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        return ScanArguments(
            u=u,
            delta=F.linear(dt, dt_proj.weight).transpose(1, 2),  # the bias is added in the scan, in at least float32
            A=-torch.exp(at_least_float32(A_log)),
            B=B.transpose(1, 2),
            C=C.transpose(1, 2),
            D=at_least_float32(D),
            z=z,
            delta_bias=at_least_float32(dt_proj.bias),
            delta_softplus=True,
        )

    def parameters_of(self, direction: Direction) -> DirectionParameters:
        """The convolution, projections, A_log and D of one direction.

        Raises:
            ValueError: the mixer does not read in that direction.
        """
        if direction not in self.directions:
            raise ValueError(f"direction: expected {' or '.join(map(repr, self.directions))}, got {direction!r}")
        if direction == "forward":
            return DirectionParameters(self.conv1d, self.x_proj, self.dt_proj, self.A_log, self.D)
        return DirectionParameters(self.conv1d_b, self.x_proj_b, self.dt_proj_b, self.A_b_log, self.D_b)


def initial_A_log(inner_dim: int, d_state: int) -> nn.Parameter:
    """log(1 … N) for every channel, so that A = -1 … -N: the initialisation S4D-Real (arXiv 2206.11893)."""
    return nn.Parameter(torch.arange(1, d_state + 1, dtype=torch.float32).log().repeat(inner_dim, 1))
