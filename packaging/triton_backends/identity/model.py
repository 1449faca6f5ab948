"""A stand-in for Triton's identity backend, for tests: gives back what it gets."""

import json
from typing import Any

import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of a network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Note the names."""
        config = json.loads(args["model_config"])
        self.input, self.output = config["input"][0]["name"], config["output"][0]["name"]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Give back each tensor."""
        given = [triton.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        return [triton.InferenceResponse([triton.Tensor(self.output, tensor)]) for tensor in given]
