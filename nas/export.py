"""`python -m nas.export`: write a network, found or published, for another tool."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import cli
from nas.config import ExportSettings
from nas.errors import InvalidInputError, did_you_mean, invalid
from nas.files import replace_file
from nas.models.export import EXPORTERS, Exporter, Network
from nas.models.options import BuildOptions
from nas.models.zoo import load_arch
from nas.results.folder import check_new_file
from nas.spec import ArchSpec


def export(settings: ExportSettings, console: Console) -> None:
    """Write the file, and beside it the weights where the target is code; print text for which there is no file.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        ExportError: If a program computes other logits than the network; likewise.
    """
    settings.check()
    if settings.to not in EXPORTERS:
        raise invalid("to", "a target", settings.to, did_you_mean(settings.to, EXPORTERS))
    spec = load_arch(settings.arch)
    _check_files(settings)
    network = Network(
        spec=spec,
        num_classes=settings.num_classes or 1000,
        in_channels=settings.in_channels or 3,
        image_size=settings.image_size or spec.eval_image_size or spec.train_image_size,
    )
    if settings.weights is not None:
        network = _with_weights(network, settings.weights, settings)
    exporter = EXPORTERS[settings.to]
    content = exporter.render(network)
    if settings.out is None:
        assert isinstance(content, str)
        console.out(content, end="", highlight=False)
        return
    if network.tensors is not None and exporter.weights == "beside":
        path = _weights_path(settings.out)
        replace_file(path, _weights_file(network, exporter))
        console.print(f"Weights in {cli.short_path(path)}")
    replace_file(settings.out, content)
    console.print(f"Network in {cli.short_path(settings.out)}")


def _check_files(settings: ExportSettings) -> None:
    """Refuse weights that the target has no place for, and paths where nothing may be written."""
    weights = EXPORTERS[settings.to].weights
    if settings.weights is not None and weights == "nowhere":
        todo = f"{settings.to} has no place for weights."
        raise invalid("weights", "left out here", str(settings.weights), todo)
    if settings.out is None:
        if weights == "inside" or settings.weights is not None:
            raise invalid("out", f"given with {settings.to}", None, "Say which file to write, with --out.")
        return
    check_new_file(settings.out)
    if settings.weights is not None and weights == "beside":
        beside = _weights_path(settings.out)
        if beside == settings.out:
            raise invalid(
                "out", "a file for code", str(settings.out), "Weights are written beside it: end it with .py."
            )
        check_new_file(beside)


def _weights_path(out: Path) -> Path:
    return out.with_suffix(".safetensors")


def _weights_file(network: Network, exporter: Exporter) -> bytes:
    """Return the weights as a safetensors file by the target's names, with all that they said of themselves."""
    from safetensors.torch import save

    from nas.models.weights import named_weights

    # "format" is how other libraries tell whose tensors a safetensors file holds.
    return save(named_weights(network.build(), exporter.layout), {**network.metadata, "format": "pt"})


def _with_weights(network: Network, path: Path, settings: ExportSettings) -> Network:
    """Return the network with trained weights, and with the classes, channels, image size and options they are for."""
    import torch

    from nas.models.weights.match import match_names
    from nas.models.weights.source import read_file

    tensors, metadata = read_file(path)
    if "arch" in metadata:
        trained = ArchSpec.from_dict(_json(path, metadata["arch"]))
        if trained.arch_id != network.spec.arch_id:
            rule = f"of the architecture to export, {network.spec.arch_id}"
            raise invalid("weights", rule, trained.arch_id, f"{path} holds another network: give that one's file.")
    match = match_names(tensors, network.spec)
    network = replace(
        network,
        num_classes=settings.num_classes or match.num_classes or network.num_classes,
        in_channels=settings.in_channels or match.in_channels or network.in_channels,
        image_size=settings.image_size or _image_size(path, metadata) or network.image_size,
        metadata=metadata,
        options=_options(path, metadata),
    )
    with torch.device("meta"):  # Shapes only.
        match.check(network.build().state_dict())
    return replace(network, tensors=match.tensors)


def _options(path: Path, metadata: Mapping[str, str]) -> BuildOptions:
    try:
        return BuildOptions.from_dict(_json(path, metadata.get("options", "{}")))
    except InvalidInputError as error:
        raise InvalidInputError(f"build options of the weights {path}: {error}") from error


def _image_size(path: Path, metadata: Mapping[str, str]) -> int | None:
    if "image_size" not in metadata:
        return None
    size = _json(path, metadata["image_size"])
    if not isinstance(size, int) or size < 1:
        raise invalid("image_size of the weights", "at least 1", size, f"The metadata of {path} are damaged.")
    return size


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid("metadata of the weights", "JSON", text, f"{path} does not parse: {error}.") from error


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    export(cli.parse(ExportSettings, "python -m nas.export", args), cli.console())
    return 0


if __name__ == "__main__":
    cli.run(main)
