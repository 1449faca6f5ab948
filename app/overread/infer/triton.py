"""Models as a repository of the Triton Inference Server: one folder a network, with its config.pbtxt.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overread.domain.errors import UserError
from overread.infer.backends.kserve import spoken, wire_name, wire_version
from overread.infer.graphs import Graph
from overread.infer.manifest import ModelSpec

# The network that gives back what it gets: it measures the way to the server alone. 256² is a slice of MR.
ECHO, ECHO_INPUT, ECHO_OUTPUT, ECHO_SHAPE = "overread-echo", "INPUT0", "OUTPUT0", (1, 256, 256)
VARIANTS = ("onnx", "tensorrt")
# Engines are kept here, inside of the server's container, so that only the first start builds them.
ENGINES = "/engines"
# An axis of ONNX has a size or a name.
Shape = list[int | str]


@dataclass(frozen=True)
class Plan:
    """How the server is to run the models.

    `variant` is "onnx", which runs on any server, or "tensorrt", fp16 on NVIDIA GPUs. Up to `batch` images that wait
    at the same moment are run together; `instances` copies of each network work side by side.
    """

    variant: str = "onnx"
    batch: int = 8
    instances: int = 1

    @property
    def precision(self) -> str:
        """The number format that the server will compute in."""
        return "fp16" if self.variant == "tensorrt" else "fp32"


@dataclass(frozen=True)
class Exported:
    """A network in the repository. `batched` is false where its ONNX graph has no free batch axis."""

    name: str
    version: str
    folder: Path
    batched: bool


def export(specs: Sequence[ModelSpec], folder: Path, plan: Plan, *, echo: bool = False) -> tuple[Exported, ...]:
    """Write the models into a repository, each folder at once or not at all; what is there of them is replaced.

    UserError where a model has no tolerance for the plan's precision, a version that no server can count, or the
    folder cannot be written.
    """
    for spec in specs:
        wire_version(spec.version)
        if plan.precision not in spec.tolerance:
            raise UserError(f"{spec.name} gives no tolerance for {plan.precision}.", "Export the other variant.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = [_network(spec, graph, folder, plan) for spec in specs for graph in spec.graphs]
        return (*done, _echo(folder, plan)) if echo else tuple(done)
    except OSError as error:
        raise UserError(
            f"The repository in {folder} cannot be written: {error.strerror}.", "Name another folder, or make room."
        ) from error


def _network(spec: ModelSpec, graph: Graph, folder: Path, plan: Plan) -> Exported:
    name, version = wire_name(spec, graph), wire_version(spec.version)
    weights = graph.onnx()
    inputs, outputs = _shapes(weights, graph)
    batched = all(isinstance(shape[0], str) for shape in (*inputs.values(), *outputs.values()))
    config = _config(name, plan, inputs, outputs, batched=batched)
    config.backend, config.default_model_filename = "onnxruntime", "model.onnx"
    for key, value in {"version": spec.version, "sha256": graph.sha256, "precision": plan.precision}.items():
        config.parameters[key].string_value = value
    if plan.variant == "tensorrt":
        _with_tensorrt(config, inputs, batch=plan.batch if batched else 1)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".overread-") as scratch:
        made = Path(scratch) / name
        (made / version).mkdir(parents=True)
        (made / version / "model.onnx").write_bytes(weights)
        (made / "config.pbtxt").write_text(_text(config), "utf-8")
        card = spec.folder / "CARD.md"
        if card.exists():  # terms and limits go where the weights go
            shutil.copyfile(card, made / "CARD.md")
        _put(made, folder / name)
    return Exported(name, version, folder / name, batched)


def _echo(folder: Path, plan: Plan) -> Exported:
    inputs: dict[str, Shape] = {ECHO_INPUT: ["n", *ECHO_SHAPE]}
    outputs: dict[str, Shape] = {ECHO_OUTPUT: ["n", *ECHO_SHAPE]}
    config = _config(ECHO, plan, inputs, outputs, batched=True)
    config.backend = "identity"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".overread-") as scratch:
        made = Path(scratch) / ECHO
        (made / "1").mkdir(parents=True)
        (made / "1" / "README").write_text("This backend needs no file, but a repository keeps no empty folder.\n")
        (made / "config.pbtxt").write_text(_text(config), "utf-8")
        _put(made, folder / ECHO)
    return Exported(ECHO, "1", folder / ECHO, True)


def _put(made: Path, place: Path) -> None:
    """Put a finished folder in its place; what was there goes away with the scratch folder."""
    if place.exists():
        place.replace(made.with_name(f"{made.name}.old"))
    made.replace(place)


def _shapes(weights: bytes, graph: Graph) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """The shapes of a network's input and outputs; an axis without a size has a name. UserError where it is none."""
    import onnxruntime  # a slow import

    try:
        session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
        inputs = {tensor.name: list(tensor.shape) for tensor in session.get_inputs()}
        outputs = {tensor.name: list(tensor.shape) for tensor in session.get_outputs()}
        return {graph.input: inputs[graph.input]}, {name: outputs[name] for name in graph.outputs}
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise UserError(f"{graph.path} is no network that can be served.", "Run “overread models check”.") from error


def _config(name: str, plan: Plan, inputs: dict[str, Shape], outputs: dict[str, Shape], *, batched: bool) -> Any:
    """The message of a config.pbtxt; without a free batch axis there is no batching."""
    messages = spoken().model_config_pb2
    config = messages.ModelConfig(name=name, max_batch_size=plan.batch if batched else 0)
    for tensors, shapes in ((config.input, inputs), (config.output, outputs)):
        for key, shape in shapes.items():
            sizes = [size if isinstance(size, int) else -1 for size in shape[1 if batched else 0 :]]
            tensors.add(name=key, data_type=messages.TYPE_FP32, dims=sizes)
    if batched:
        config.dynamic_batching.SetInParent()  # no delay: what waits is run together, and nobody waits for others
    kinds = messages.ModelInstanceGroup
    kind = kinds.KIND_GPU if plan.variant == "tensorrt" else kinds.KIND_AUTO  # a GPU where there is one
    config.instance_group.add(count=plan.instances, kind=kind)
    return config


def _with_tensorrt(config: Any, inputs: dict[str, Shape], batch: int) -> None:
    """Have TensorRT run the ONNX graph, for every batch up to the largest, with engines that are kept. UserError.

    The parameters are those of Triton's ONNX Runtime backend. A warm-up builds the engine before readers ask.
    """
    messages = spoken().model_config_pb2
    ((name, shape),) = inputs.items()
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) < len(shape) - 1:
        raise UserError(f"TensorRT wants a size for every axis, and {config.name} has {shape}.", "Export it without.")
    profile = {n: f"{name}:{'x'.join(map(str, [n, *sizes]))}" for n in (1, batch)}
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters.update(
        {
            "precision_mode": "FP16",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": ENGINES,
            "trt_profile_min_shapes": profile[1],
            "trt_profile_opt_shapes": profile[batch],
            "trt_profile_max_shapes": profile[batch],
        }
    )
    warm = config.model_warmup.add(name="engine", batch_size=1 if config.max_batch_size else 0)
    dims = sizes if config.max_batch_size else [1, *sizes]
    warm.inputs[name].CopyFrom(messages.ModelWarmup.Input(data_type=messages.TYPE_FP32, dims=dims, zero_data=True))


def _text(config: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(config))
