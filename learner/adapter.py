"""PURE: layers that move over a frozen base, W = W⁰ + s·P Λ Q or W⁰ + Δ, and the state that is theirs alone.

A *triplet* is one column of P, one λ and one row of Q. It is dead while its λ is held at zero;
which triplets live is decided in `learner.allocation`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from learner.product import low_rank_product
from schemas.errors import CheckpointRefused, SettingsError


class LowRankLinear(nn.Module):
    """A frozen linear layer plus a low-rank update: y = base(x) + s·((x Qᵀ)·λ) Pᵀ.

    P [out, r], lam [r], Q [r, in]. λ is zero at birth, so the first output is the base's. P and Q are
    Gaussian with variance 1/out and 1/in: directions of unit length in expectation, which is where the
    orthogonality term wants them. (peft's fixed deviation of .02 starts far from there: its term is
    about r per matrix at birth, this one's (r² + r)/dimension.)

    Source: AdaLoRA (Zhang et al., ICLR 2023), eq. 3.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        _check_rank(rank)
        self.base = base.requires_grad_(False)
        self.scale = scale
        self.P = nn.Parameter(
            _gaussian(base.out_features, rank, generator).to(base.weight) / math.sqrt(base.out_features)
        )
        self.lam = nn.Parameter(base.weight.new_zeros(rank))
        self.Q = nn.Parameter(
            _gaussian(rank, base.in_features, generator).to(base.weight) / math.sqrt(base.in_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out]."""
        y = low_rank_product(x, self.base.weight, self.P, self.scale * self.lam, self.Q)
        return y if self.base.bias is None else y + self.base.bias


class LowRankEmbedding(nn.Module):
    """A frozen table plus a low-rank row update: E[i] = E⁰[i] + (a[i]·λ) Q.

    a [n, r] is zero and λ one at birth: the other way round, the first step of λ would shake every row
    that was never touched. Q [r, d] starts with orthonormal rows. The gradient of `a` is sparse, so a
    step costs r numbers for each touched row and nothing for the others.
    """

    def __init__(self, base: nn.Embedding, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        _check_rank(rank, at_most=base.embedding_dim)
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(base.weight.new_zeros(base.num_embeddings, rank))
        self.lam = nn.Parameter(base.weight.new_ones(rank))
        orthonormal, _ = torch.linalg.qr(_gaussian(base.embedding_dim, rank, generator))
        self.Q = nn.Parameter(orthonormal.T.contiguous().to(base.weight))

    @torch.no_grad()
    def reset(self, rows: Tensor) -> None:
        """Let rows [n] be nothing, in the frozen table too: their next owner is nobody that it knew."""
        self.a[rows], self.base.weight[rows] = 0, 0

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids [...] to rows [..., d]."""
        rows = functional.embedding(ids, self.a, padding_idx=self.base.padding_idx, sparse=True)
        frozen: Tensor = self.base(ids)
        return frozen + (rows * self.lam) @ self.Q


class DenseLinear(nn.Module):
    """A frozen linear layer plus an update of full rank: y = base(x) + x Δᵀ, Δ [out, in] zero at birth.

    For a small layer that the stream must move far. P Λ Q begins at a saddle: with λ = 0 no gradient
    reaches P and Q, so it takes many steps before it says anything.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.delta = nn.Parameter(torch.zeros_like(base.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out]."""
        return functional.linear(x, self.base.weight + self.delta, self.base.bias)


def together(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Map x [..., in] through linear layers without bias, adapted or not, side by side: [..., Σ out].

    One product instead of one a layer; the P of the layers are laid out as blocks on a diagonal.
    """
    adapted = [layer for layer in layers if isinstance(layer, LowRankLinear)]
    if len(adapted) < len(layers):
        return torch.cat([layer(x) for layer in layers], -1)
    weight = torch.cat([layer.base.weight for layer in adapted])
    P = torch.block_diag(*(layer.P for layer in adapted))  # type: ignore[no-untyped-call]
    a = torch.cat([layer.scale * layer.lam for layer in adapted])
    return low_rank_product(x, weight, P, a, torch.cat([layer.Q for layer in adapted]))


LowRankLayer = LowRankLinear | LowRankEmbedding
AdaptedLayer = LowRankLayer | DenseLinear
Select = Callable[[str, nn.Module], bool]


def adapt(module: nn.Module, rank: int, scale: float, generator: torch.Generator, select: Select) -> None:
    """Replace, in place, the linear layers and tables below `module` that `select` takes.

    `select` sees (qualified name, layer). A layer used in two places stays shared; layers that are
    adapted already are left alone.
    """
    _replace(
        module,
        lambda name, child: (
            _wrap(child, rank, scale, generator)
            if isinstance(child, nn.Linear | nn.Embedding) and select(name, child)
            else None
        ),
    )


def adapt_in_full(module: nn.Module, names: Collection[str]) -> None:
    """Replace, in place, the linear layers of these qualified names by ones that move in full."""
    _replace(
        module,
        lambda name, child: DenseLinear(child) if isinstance(child, nn.Linear) and name in names else None,
    )


def _replace(module: nn.Module, wrap: Callable[[str, nn.Module], AdaptedLayer | None]) -> None:
    adapted: dict[nn.Module, AdaptedLayer] = {}
    for prefix, parent in list(module.named_modules()):
        if isinstance(parent, AdaptedLayer):
            continue
        for child_name, child in list(parent.named_children()):
            name = f"{prefix}.{child_name}".removeprefix(".")
            wrapped = adapted.get(child) or wrap(name, child)
            if wrapped is not None:
                adapted[child] = wrapped
                setattr(parent, child_name, wrapped)


def low_rank_layers(module: nn.Module) -> dict[str, LowRankLayer]:
    """Return the low-rank layers of `module` by qualified name, in module order."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, LowRankLayer)}


def adapted_layers(module: nn.Module) -> dict[str, AdaptedLayer]:
    """Return all layers of `module` that move, by qualified name, in module order."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, AdaptedLayer)}


def adapter_state(module: nn.Module) -> dict[str, Tensor]:
    """Return only what the stream moves: P (or a), lam and Q, or delta, of each adapted layer.

    The tensors are views of the live weights: clone what must outlast the next step.
    """
    return {
        f"{name}.{key}": parameter.detach()
        for name, layer in adapted_layers(module).items()
        for key, parameter in layer.named_parameters(recurse=False)
    }


@torch.no_grad()
def load_adapter_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy `state` into the adapted layers of `module`; nothing is copied unless all of it fits.

    Raises:
        CheckpointRefused: names or shapes are not those of the module's adapter.
    """
    own = adapter_state(module)
    if own.keys() != state.keys():
        differing = sorted(own.keys() ^ state.keys())
        raise CheckpointRefused(
            f"adapter state: expected the tensors of this adapter; differing names {differing}"
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            expected, actual = list(tensor.shape), list(state[name].shape)
            raise CheckpointRefused(f"adapter tensor {name}: expected shape {expected}, got {actual}")
    for name, tensor in own.items():
        tensor.copy_(state[name])


@torch.no_grad()
def to_lora(layer: AdaptedLayer) -> tuple[Tensor, Tensor]:
    """Return plain LoRA factors (A, B) over the live triplets, exact, with peft's shapes.

    Linear: ΔW = B A with A [k, in] = s·diag(λ) Q and B [out, k] = P; in full, A = Δ and B = I.
    Embedding: ΔE = (B A)ᵀ with A [k, n] = aᵀ and B [d, k] = (diag(λ) Q)ᵀ.
    """
    if isinstance(layer, DenseLinear):
        return layer.delta.clone(), torch.eye(len(layer.delta)).to(layer.delta)
    live = layer.lam != 0
    directions = layer.lam[live, None] * layer.Q[live]
    if isinstance(layer, LowRankLinear):
        return layer.scale * directions, layer.P[:, live].clone()
    return layer.a[:, live].T.contiguous(), directions.T.contiguous()


def orthogonality(layers: Iterable[LowRankLayer]) -> Tensor:
    """Return Σ ‖PᵀP − I‖²_F + ‖QQᵀ − I‖²_F; a table has no P, its rows are coefficients.

    Matrices of one shape share a batched product. Source: AdaLoRA, eq. 4.
    """
    by_shape: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
    for directions in (matrix for layer in layers for matrix in _directions(layer)):
        by_shape[directions.shape].append(directions)
    return torch.stack([_off_orthonormal(torch.stack(group)) for group in by_shape.values()]).sum()


def orthogonality_weight(layers: Iterable[LowRankLayer], task_loss: float, share: float) -> float:
    """Return the γ with which the orthogonality term, as it is now, is `share` of `task_loss`.

    To be asked at birth. A γ that does not know the task can outweigh it: peft's .5 adds 1.4 to the
    loss, twice a binary cross entropy.
    """
    with torch.no_grad():
        return share * task_loss / max(float(orthogonality(layers)), torch.finfo(torch.float32).tiny)


def _off_orthonormal(directions: Tensor) -> Tensor:
    """Squared distance of the rows of each matrix of a stack [k, r, dim] from being orthonormal."""
    gram = torch.bmm(directions, directions.mT)
    return (gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)).square().sum()


def _directions(layer: LowRankLayer) -> tuple[Tensor, ...]:
    """The layer's direction matrices, one direction a row: [r, dim] each."""
    return (layer.P.mT, layer.Q) if isinstance(layer, LowRankLinear) else (layer.Q,)


def _wrap(
    base: nn.Linear | nn.Embedding, rank: int, scale: float, generator: torch.Generator
) -> LowRankLayer:
    if isinstance(base, nn.Linear):
        return LowRankLinear(base, rank, scale, generator)
    return LowRankEmbedding(base, rank, generator)


def _gaussian(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Drawn where the generator lives, so that a seed gives the same adapter on every device."""
    return torch.randn(rows, columns, generator=generator, device=generator.device)


def _check_rank(rank: int, at_most: int | None = None) -> None:
    if rank < 1 or (at_most is not None and rank > at_most):
        bound = "" if at_most is None else f" to {at_most}, the table's width"
        raise SettingsError(f"adapter rank: expected 1{bound or ' or more'}, got {rank}")
