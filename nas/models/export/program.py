"""A network as a program of torch.export, which loads without this toolkit's code."""

import io
import json

from nas.models.export.checking import EXAMPLE_BATCH, check_program, images_like, prediction_metadata
from nas.models.export.network import Network


def program_file(network: Network) -> bytes:
    """Return an archive (.pt2) that `torch.export.load` reads.

    It maps images (N, in_channels, image_size, image_size) to logits (N, num_classes); N is free. Weights are inside,
    and what is needed to predict with them is in the extra file "metadata.json".

    Raises:
        ExportError: If the program, loaded back, computes other logits than the network.
    """
    import torch

    model = network.build()
    images = images_like(network, EXAMPLE_BATCH)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    metadata = json.dumps(dict(prediction_metadata(network)))
    torch.export.save(program, file, extra_files={"metadata.json": metadata})
    file.seek(0)
    check_program("torch.export", network, model, torch.export.load(file).module())
    return file.getvalue()
