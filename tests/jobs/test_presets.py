"""Our presets are what sleap-nn's own function for trainings without a config would make."""

import ast
import importlib.util
from pathlib import Path


def defaults_of(path: str, function: str) -> dict[str, str]:
    """The parameters of a function of sleap-nn, and the text of their defaults."""
    spec = importlib.util.find_spec("sleap_nn")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / path).read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    assert len(found.args.defaults) == len(found.args.args)
    return {arg.arg: ast.unparse(value) for arg, value in zip(found.args.args, found.args.defaults, strict=True)}


def test_presets_have_the_defaults_of_sleap_nns_own_function() -> None:
    # train() hands everything on to these three, from which our config is made
    getters = ("get_data_config", "get_model_config", "get_trainer_config")
    made: dict[str, str] = {}
    for getter in getters:
        made |= defaults_of("config/get_config.py", getter)
    assert made == defaults_of("train.py", "train")
