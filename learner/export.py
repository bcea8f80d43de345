"""A version as plain LoRA that peft loads, exact: A' = s·diag(λ)Q and B' = P over the live triplets."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from learner.adapter import LowRankEmbedding, adapted_layers, to_lora
from learner.knowledge import Knowledge
from learner.ranker import TABLES, Ranker

WEIGHTS, CONFIG, IDS = "adapter_model.safetensors", "adapter_config.json", "ids.json"


def export(ranker: Ranker, knowledge: Knowledge, base: str, directory: Path) -> list[Path]:
    """Write an adapted ranker's update as a LoRA adapter over `Base.ranker()` of the base of that hash.

    `ids.json` tells which id each row of the tables is. The intercept, which is no matrix, is stored as it is
    and loaded by name. Returns the files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors, ranks = lora_state(ranker)
    save_file(tensors, directory / WEIGHTS)
    (directory / CONFIG).write_text(json.dumps(lora_config(ranks, base), indent=2) + "\n")
    (directory / IDS).write_text(json.dumps(knowledge.vocabulary.snapshot(), ensure_ascii=False) + "\n")
    return [directory / name for name in (WEIGHTS, CONFIG, IDS)]


def lora_state(ranker: Ranker) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Tensors under peft's names, and the rank of each layer that has one."""
    tensors = {"base_model.model.heads.intercept": ranker.heads.intercept.detach().cpu().clone()}
    ranks = {}
    for name, layer in adapted_layers(ranker).items():
        a, b = to_lora(layer)
        if len(a) == 0:
            continue
        ranks[name] = len(a)
        kind = ("lora_embedding_A", "lora_embedding_B")
        if not isinstance(layer, LowRankEmbedding):
            kind = ("lora_A.weight", "lora_B.weight")
        for suffix, factor in zip(kind, (a, b), strict=True):
            tensors[f"base_model.model.{name}.{suffix}"] = factor.detach().cpu().contiguous()
    return tensors, ranks


def lora_config(ranks: dict[str, int], base: str) -> dict[str, object]:
    """The adapter's configuration: every layer has its own rank, and no scale but what A' contains.

    Names are anchored: peft matches them as endings, and `users` is the end of `heads.users`, too.
    """
    patterns = {f"^{name}": rank for name, rank in ranks.items()}
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": 1,
        "lora_alpha": 1,
        "rank_pattern": patterns,
        "alpha_pattern": patterns,
        "target_modules": "|".join(ranks),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }


Model = tuple[Ranker, Knowledge]


@torch.no_grad()
def moved(one: Model, other: Model) -> dict[str, tuple[float, float]]:
    """How far each adapted layer is from the base in `one`, and from `one` to `other`: Frobenius norms.

    Rows of tables are those of an id, whatever their numbers in either model.
    """
    norms, others = {}, adapted_layers(other[0])
    for name, layer in adapted_layers(one[0]).items():
        (a, b), (a2, b2) = to_lora(layer), to_lora(others[name])
        if isinstance(layer, LowRankEmbedding):
            a, a2 = _side_by_side(a, a2, one[1], other[1], TABLES[name])
        # ‖BA − B'A'‖ over products of r × r: the matrices themselves can be as large as a table.
        left, right = torch.cat([b, -b2], 1), torch.cat([a, a2])
        norms[name] = (_norm(b, a), _norm(left, right))
    return norms


def _side_by_side(
    a: Tensor, a2: Tensor, one: Knowledge, other: Knowledge, index: str
) -> tuple[Tensor, Tensor]:
    """Columns of both, [k, n] each, by id; zero where one has none."""
    vocabularies = [known.vocabulary.index(index) for known in (one, other)]
    ids = list(dict.fromkeys(key for rows in vocabularies for key in rows.snapshot()))
    left, right = (torch.from_numpy(rows.rows(ids)).long() for rows in vocabularies)
    return a[:, left] * (left > 0), a2[:, right] * (right > 0)


def _norm(b: Tensor, a: Tensor) -> float:
    """‖BA‖_F by the Gram matrices of its factors."""
    squared = ((b.mT.double() @ b.double()) * (a.double() @ a.double().mT)).sum()
    return float(squared.clamp_min(0).sqrt())
