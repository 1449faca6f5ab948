"""A repository that the real Triton serves: names, versions, shapes, batching, weights that agree."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer import triton
from overread.infer.backends.kserve import Server, Unanswered, connected
from overread.infer.backends.remote import Remote
from overread.infer.manifest import ModelSpec, find_models, read
from overread.infer.selftest import SelfTest
from overread.paths import model_folders
from support import servers, tiny
from support.models import bright_model


def _config(folder: Path) -> model_config_pb2.ModelConfig:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((folder / "config.pbtxt").read_text("utf-8"), config)
    return config


def _with_fp16(spec: ModelSpec) -> ModelSpec:
    file = spec.folder / "model.toml"
    file.write_text(file.read_text("utf-8").replace("[tolerance]\n", "[tolerance]\nfp16 = 0.02\n"), "utf-8")
    return read(spec.folder)


def test_every_network_of_a_model_is_one_of_the_server_s(tmp_path: Path) -> None:
    spec = read(tiny.peaks_model(tmp_path / "models", contour=True))
    exported = triton.export([spec], tmp_path / "repository", triton.Plan(batch=4, instances=2))
    assert [(one.name, one.version, one.batched) for one in exported] == [
        ("peaks", "1000000", True),
        ("peaks-contour", "1000000", True),
    ]
    for one, graph in zip(exported, spec.graphs, strict=True):
        config = _config(one.folder)
        assert (config.name, config.backend, config.max_batch_size) == (one.name, "onnxruntime", 4)
        assert config.HasField("dynamic_batching")
        assert [(group.count, group.kind) for group in config.instance_group] == [(2, 0)]
        assert {key: value.string_value for key, value in config.parameters.items()} == {
            "sha256": graph.sha256,
            "version": "1.0.0",
            "precision": "fp32",
        }
        assert [tensor.name for tensor in config.input] == [graph.input]
        assert [tensor.name for tensor in config.output] == list(graph.outputs)
        assert (one.folder / one.version / "model.onnx").read_bytes() == graph.onnx()
        assert (one.folder / "CARD.md").read_text("utf-8") == (spec.folder / "CARD.md").read_text("utf-8")
    assert sorted(path.name for path in (tmp_path / "repository").iterdir()) == ["peaks", "peaks-contour"]


def test_the_shipped_models_can_all_be_batched(tmp_path: Path) -> None:
    specs, broken = find_models(model_folders())
    assert specs
    assert not broken
    for variant in triton.VARIANTS:
        exported = triton.export(specs, tmp_path / variant, triton.Plan(variant))
        assert len(exported) == sum(len(spec.graphs) for spec in specs)
        assert all(one.batched for one in exported)
        assert all(-1 not in tensor.dims for one in exported for tensor in _config(one.folder).input)


def test_tensorrt_is_asked_for_in_half_precision_for_every_size_of_a_batch(tmp_path: Path) -> None:
    spec = _with_fp16(read(bright_model(tmp_path / "models")))
    (one,) = triton.export([spec], tmp_path / "repository", triton.Plan("tensorrt", batch=4))
    config = _config(one.folder)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert accelerator.parameters["trt_profile_min_shapes"] == "image:1x1x256x256"
    assert accelerator.parameters["trt_profile_max_shapes"] == "image:4x1x256x256"
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert config.parameters["precision"].string_value == "fp16"
    assert list(config.model_warmup[0].inputs["image"].dims) == [1, 256, 256]


def test_a_precision_without_a_tolerance_is_not_exported(tmp_path: Path) -> None:
    spec = read(bright_model(tmp_path / "models"))
    with pytest.raises(UserError, match="Bright gives no tolerance for fp16"):
        triton.export([spec], tmp_path / "repository", triton.Plan("tensorrt"))
    assert not (tmp_path / "repository").exists()


def test_tensorrt_is_not_asked_for_where_an_axis_has_no_size(tmp_path: Path) -> None:
    spec = _with_fp16(read(tiny.sides_model(tmp_path / "models")))
    with pytest.raises(UserError, match=r"TensorRT wants a size for every axis, and sides has \['n', 'c', 'h', 'w'\]"):
        triton.export([spec], tmp_path / "repository", triton.Plan("tensorrt"))


def test_what_was_exported_before_is_replaced_and_the_rest_left_alone(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "bright/1").mkdir(parents=True)
    (repository / "others").mkdir()
    spec = read(bright_model(tmp_path / "models"))
    triton.export([spec], repository, triton.Plan())
    assert sorted(path.name for path in (repository / "bright").iterdir()) == ["1000000", "CARD.md", "config.pbtxt"]
    assert sorted(path.name for path in repository.iterdir()) == ["bright", "others"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"The repository in .*file cannot be written"):
        triton.export([read(bright_model(tmp_path / "models"))], tmp_path / "file", triton.Plan())


def _one_at_a_time(folder: Path) -> ModelSpec:
    """A network whose batch axis is fixed at one image."""
    shape = [1, 1, 256, 256]
    node = helper.make_node("Sigmoid", ["image"], ["probability"])
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "probability")]
    proto = helper.make_graph([node], "one", tensors[:1], tensors[1:])
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return _exchanged(read(bright_model(folder, model_id="single")), bytes(model.SerializeToString()))


def _exchanged(spec: ModelSpec, weights: bytes) -> ModelSpec:
    """The same model with other weights and the self-test that goes with them."""
    spec.weights.write_bytes(weights)
    with np.load(spec.selftest) as stored:
        tensor = stored["input"]
    np.savez_compressed(spec.selftest, input=tensor, output=tiny.answers(weights, tensor)["probability"])
    file = spec.folder / "model.toml"
    file.write_text(file.read_text("utf-8").replace(spec.sha256, hashlib.sha256(weights).hexdigest()), "utf-8")
    return read(spec.folder)


def test_a_network_for_one_image_is_not_batched(tmp_path: Path) -> None:
    spec = _with_fp16(_one_at_a_time(tmp_path / "models"))
    for variant in triton.VARIANTS:
        (one,) = triton.export([spec], tmp_path / variant, triton.Plan(variant))
        config = _config(one.folder)
        assert (one.batched, config.max_batch_size, config.HasField("dynamic_batching")) == (False, 0, False)
        assert list(config.input[0].dims) == [1, 1, 256, 256]


def test_the_real_triton_serves_it_and_agrees(tmp_path: Path, triton_folder: Path) -> None:
    """Shapes, parameters and versions as Triton itself reads config.pbtxt; the self-test of all networks passes."""
    models, repository = tmp_path / "models", tmp_path / "repository"
    specs = [
        read(bright_model(models)),
        read(tiny.peaks_model(models, contour=True)),
        read(tiny.sides_model(models)),
        _one_at_a_time(models),
    ]
    triton.export(specs, repository, triton.Plan(), echo=True)
    with servers.triton(triton_folder, repository) as running:
        server = Server(Remote(f"grpc://{running.target}", "remote", 20_000))
        assert server.about().startswith("triton 2.")
        for spec in specs:
            probes = SelfTest(spec).probes
            backends = connected(server, spec, probes)
            for probe, backend in zip(probes, backends, strict=True):
                assert backend.precision == "fp32"
                assert probe.error(backend.run(probe.input, Cancel()), 1e-4) <= 1e-4
        other = read(bright_model(tmp_path / "other", level=0.7))
        with pytest.raises(Unanswered, match="has other weights than the model here"):
            connected(server, other, SelfTest(other).probes)
        server.close()


def test_requests_that_wait_at_the_same_moment_are_run_together(tmp_path: Path, triton_folder: Path) -> None:
    spec, repository = read(bright_model(tmp_path / "models", work=2)), tmp_path / "repository"
    triton.export([spec], repository, triton.Plan())
    with servers.triton(triton_folder, repository) as running:
        server = Server(Remote(f"grpc://{running.target}", "remote", 60_000))
        (backend,) = connected(server, spec, SelfTest(spec).probes)
        tensors = [np.full((1, 1, 256, 256), value, np.float32) for value in np.linspace(0, 1, 16)]
        outputs = servers.at_once(lambda tensor: backend.run(tensor, Cancel())["probability"], tensors)
        alone = [tiny.answers(spec.graph.onnx(), tensor)["probability"] for tensor in tensors]
        np.testing.assert_allclose(outputs, alone, atol=1e-5)
        requests, runs = servers.counted(running, "bright")
        assert requests == 16
        assert runs < requests
        server.close()
