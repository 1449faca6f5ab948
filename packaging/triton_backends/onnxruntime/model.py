"""A stand-in for Triton's ONNX Runtime backend, for tests: the wheel that has the server has only its Python backend.

The server reads config.pbtxt, batches and schedules; this runs the batches, with ONNX Runtime on the CPU.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of a network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights of the version that is asked for."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        weights = Path(args["model_repository"], args["model_version"], config["default_model_filename"])
        self.session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        (self.input,) = (tensor["name"] for tensor in config["input"])
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run what the server put together in one go, and part the answers again."""
        given = [triton.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        arrays = self.session.run(self.outputs, {self.input: np.concatenate(given)})
        ends = np.cumsum([len(tensor) for tensor in given])[:-1]
        parted = zip(*(np.split(array, ends) for array in arrays), strict=True)
        return [
            triton.InferenceResponse([triton.Tensor(*pair) for pair in zip(self.outputs, answer, strict=True)])
            for answer in parted
        ]
