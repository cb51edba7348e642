"""``[parallel]``: meshes that fit, and what is said of those that don't."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_run import LENGTH, tiny_model, tiny_settings

from codecascade.ground.errors import UserError
from codecascade.recipe.reading import make_recipe
from codecascade.recipe.settings import to_data
from codecascade.training.learner import rows_of_rank
from codecascade.training.parallel.mesh import check_mesh
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.settings import MeshShape, ParallelSettings


def test_what_is_left_shards_weights() -> None:
    shape = ParallelSettings(data_replicate=2, context=4, tensor=2).shape(64)
    assert shape == MeshShape(data_replicate=2, data_shard=4, context=4, tensor=2)
    assert (shape.data, shape.shards, shape.rows_shared_by, shape.devices) == (8, 16, 8, 64)


def test_neighbours_share_matrices_then_rows() -> None:
    shape = ParallelSettings(context=2, tensor=2).shape(8)
    assert [shape.data_rank(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [shape.leads(rank) for rank in range(8)] == [True, False, False, False] * 2


@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        ({"tensor": 4}, 6, "tensor 4 = 4 ranks do not divide the 6 ranks"),
        ({"tensor": 2}, 1, "2 ranks do not divide the 1 rank of this run"),
        ({"data_shard": 4, "tensor": 2}, 4, "= 8 ranks, but this run has 4 ranks"),
        ({"data_shard": 2}, 4, "= 2 ranks, but this run has 4 ranks"),
    ],
)
def test_a_mesh_of_another_number_of_ranks_is_refused(
    settings: dict[str, Any], ranks: int, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        ParallelSettings(**settings).shape(ranks)
    assert error.value.key == "parallel"


@pytest.mark.parametrize(
    ("parallel", "changes", "ranks", "key", "message"),
    [
        ({"tensor": 4}, {}, 4, "parallel.tensor", "4 ranks can't share the model's num_key_value_heads, 2,"),
        ({"tensor": 3}, {}, 3, "parallel.tensor", "3 ranks can't share the model's num_attention_heads, 4,"),
        ({"context": 5}, {}, 5, "parallel.context", "5 ranks can't share rows of 24 tokens"),
        ({"tensor": 2}, {"sequence_length": 23}, 2, "parallel.tensor", "2 ranks share the 23 tokens"),
        ({}, {"batch_tokens": 2 * LENGTH}, 4, "batch_tokens", "2 rows of 24, which 4 ranks can't"),
        ({"context": 2}, {}, 6, "batch_tokens", "4 rows of 24, which 3 groups of 2 ranks can't"),
        ({"float8": True}, {"train": "lora"}, 1, "parallel.float8", "needs train = 'all'"),
    ],
)
def test_what_can_not_be_shared_out_is_named(
    parallel: dict[str, Any], changes: dict[str, Any], ranks: int, key: str, message: str
) -> None:
    length = changes.get("sequence_length", LENGTH)
    settings = tiny_settings(**{"batch_tokens": 4 * length, **changes}, parallel=parallel)
    with pytest.raises(UserError, match=message) as error:
        check_mesh(tiny_model().config, settings, ranks)
    assert error.value.key == key


def test_ranks_that_share_rows_read_the_same() -> None:
    settings = tiny_settings(parallel={"tensor": 2})
    worlds = [World(rank, 4, None, None) for rank in range(4)]  # type: ignore[arg-type]
    assert [rows_of_rank(world, settings) for world in worlds] == [
        range(2),
        range(2),
        range(2, 4),
        range(2, 4),
    ]


RECIPE: dict[str, Any] = {
    "name": "r",
    "base": "tiny",
    "corpus": "code",
    "stage": [
        {"name": "short", "kind": "code", "parent": "base", "tokens": 2**22},
        {
            "name": "long",
            "kind": "long_context",
            "parent": "short",
            "tokens": 2**21,
            "parallel": {"context": 4},
        },
    ],
}


def test_a_stage_has_the_recipe_s_mesh_but_for_what_it_says_itself() -> None:
    recipe = make_recipe({**RECIPE, "parallel": {"tensor": 8, "reduce_gradients": "step"}})
    short, long = recipe["short"].parallel, recipe["long"].parallel
    assert short == ParallelSettings(tensor=8, reduce_gradients="step")
    assert long == ParallelSettings(tensor=8, context=4, reduce_gradients="step")
    assert make_recipe(to_data(recipe)) == recipe


def test_without_a_mesh_it_is_left_open() -> None:
    recipe = make_recipe(RECIPE)
    assert recipe["short"].parallel is None
    assert recipe["short"].sharing == ParallelSettings()


@pytest.mark.parametrize(
    ("parallel", "message"),
    [
        ({"tensr": 2}, r"parallel\.tensr: unknown key; did you mean 'tensor'"),
        ({"tensor": 0}, r"parallel\.tensor: must be > 0 \(got 0\)"),
        ({"data_shard": 0}, r"data_shard must be > 0, or -1"),
        ({"tensor": "8"}, r"parallel\.tensor: must be an integer"),
        (8, r"parallel: must be a table"),
    ],
)
def test_mistakes_in_the_table_are_named(parallel: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_recipe({**RECIPE, "stage": RECIPE["stage"][:1], "parallel": parallel})
