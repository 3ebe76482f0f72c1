"""ONNX and torch.export: programs that compute what the network computes."""

import io
import json
import sys
from dataclasses import replace

import pytest
import torch

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models.export import EXPORTERS
from nas.models.export.checking import ExportError, check_program
from nas.models.options import DEFAULT_OPTIONS
from tests.models.export.networks import COMMON, ODD, OPTIONS, SPECS, network_of, warmed

METADATA = {"class_names": '["a", "b"]', "mean": "[0.5]", "std": "[0.2]", "epoch": "3"}


def trained(spec, options=DEFAULT_OPTIONS):
    network = network_of(spec, in_channels=1, options=options)
    return replace(network, tensors=warmed(network).state_dict(), metadata=METADATA)


def program_of(to, network):
    """Export and read back; return a function from images to logits, and the metadata."""
    if to == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(EXPORTERS[to].render(network))
        metadata = session.get_modelmeta().custom_metadata_map
        return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0]), metadata
    extra = {"metadata.json": ""}
    program = torch.export.load(io.BytesIO(EXPORTERS[to].render(network)), extra_files=extra)
    return program.module(), json.loads(extra["metadata.json"])


@pytest.mark.parametrize(
    ("spec", "options"),
    [(SPECS["found S"], OPTIONS["norm"]), (ODD, OPTIONS["same"])],
    ids=["found S", "odd"],
)
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_a_program_gives_our_logits(to, spec, options):
    network = trained(spec, options)
    program, metadata = program_of(to, network)
    for batch_size in (1, 2, 5):
        images = torch.randn(batch_size, 1, network.image_size, network.image_size)
        with torch.no_grad():
            expected = network.build()(images)
            error = (program(images) - expected).abs().max() / expected.abs().max()
        assert error < 1e-4
    assert {key: metadata[key] for key in ("class_names", "mean", "std")} == {
        key: METADATA[key] for key in ("class_names", "mean", "std")
    }
    assert ArchSpec.from_dict(json.loads(metadata["arch"])) == spec
    assert metadata["image_size"] == str(network.image_size)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["found M", "B0", "common"])
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_further_programs_give_our_logits(to, spec):
    test_a_program_gives_our_logits(to, SPECS[spec], DEFAULT_OPTIONS)


def test_a_program_that_computes_something_else_is_not_kept():
    network = trained(COMMON)
    model = network.build()
    check_program("same", network, model, model)
    for wrong in (lambda images: model(images) * 1.001, lambda images: model(images) * float("nan")):
        with pytest.raises(ExportError, match="gives other logits than the network: a relative difference of"):
            check_program("other", network, model, wrong)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named_with_its_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInputError, match=rf"without .*{package}'. Run: pip install \"nas\[export\]\""):
        EXPORTERS["onnx"].render(network_of(COMMON))


def test_what_one_onnx_file_cannot_hold_is_refused():
    pytest.importorskip("onnxruntime")
    huge = ArchSpec(4096, (StageSpec("fused", 8, 3, 1, 4096, 1),), 8)
    with pytest.raises(InvalidInputError, match="at most 500,000,000 parameters for ONNX"):
        EXPORTERS["onnx"].render(network_of(huge))
