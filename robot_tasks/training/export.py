"""A trained policy as files that need neither rsl-rl nor this package: ONNX, TorchScript, and `policy.json`."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from rsl_rl.models import MLPModel

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.config.tasks import RobotConfig
from robot_tasks.training.contract import input_contract

ONNX, SCRIPT, DESCRIPTION = "policy.onnx", "policy.pt", "policy.json"
_OPSET = 18


def export_policy(
    actor: MLPModel, robot: RobotConfig, config: NavTrainingConfig, folder: Path, trained: dict[str, Any]
) -> None:
    """Write `policy.onnx`, `policy.pt` and `policy.json`: the actions without the noise of exploration.

    ONNX takes and gives the memory of a recurrent policy (`h_in`, `h_out`, for an LSTM also `c_in`, `c_out`); the
    TorchScript module keeps it and has `reset()`.

    Args:
        trained: what policy.json tells of the training.
    """
    model = actor.as_onnx(verbose=False).eval()
    names: dict[str, list[str]] = {"inputs": model.input_names, "outputs": model.output_names}  # pyright: ignore
    examples = model.get_dummy_inputs()  # pyright: ignore[reportCallIssue]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model, examples, str(folder / ONNX), opset_version=_OPSET, input_names=names["inputs"],
            output_names=names["outputs"], external_data=False, verbose=False,
        )  # fmt: skip
        torch.jit.script(actor.as_jit().eval()).save(str(folder / SCRIPT))
    shapes = [list(example.shape) for example in examples]
    tree = {
        "robot": robot.model_dump(mode="json"),
        **input_contract(robot, config.env),
        "onnx": {
            "file": ONNX,
            "opset": _OPSET,
            "inputs": [
                {"name": name, "shape": shape, "dtype": "float32"}
                for name, shape in zip(names["inputs"], shapes, strict=True)
            ],
            "outputs": names["outputs"],
        },
        "torchscript": {"file": SCRIPT, "call": "actions = policy(obs)", "new_episode": "policy.reset()"},
        "memory": "zeros at the start of an episode and at a new goal; else what the step before gave"
        if actor.is_recurrent
        else "none",
        "trained": trained,
    }
    (folder / DESCRIPTION).write_text(json.dumps(tree, indent=1) + "\n")
