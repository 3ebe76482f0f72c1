"""Where measurements come from: trainings on a data set, or a table of measured networks."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from nas.config import SearchSettings
from nas.config.places import parse_devices
from nas.errors import invalid
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.table import TABLE_METRICS, Table, TabularSpace, read_table
from nas.optimization.objectives import Objective
from nas.results.manifest import Manifest
from nas.space import SearchSpace

if TYPE_CHECKING:
    from nas.evaluation.proxy_factory import ProxyFactory
    from nas.execution.ray_cluster import RayCluster


def prepare_proxy(
    settings: SearchSettings,
    space: SearchSpace,
    fidelity: Fidelity,
    target: DeviceProfile | None,
    cluster: "RayCluster | None",
    stack: ExitStack,
) -> "tuple[ProxyFactory, Manifest]":
    """Check data and device, and say what a run on them is made from; the cluster is connected until `stack` ends."""
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data import load_dataset
    from nas.evaluation.device import resolve_device
    from nas.evaluation.proxy_factory import ProxyFactory

    device = str(resolve_device(settings.device if cluster is None else "cpu"))
    if settings.devices is not None:
        named = [resolve_device(f"cuda:{index}", "devices") for index in parse_devices(settings.devices)]
        device = named[0].type
    timing_device = (
        None if settings.timing_device is None else str(resolve_device(settings.timing_device, "timing_device"))
    )
    image_size = space.reference.train_image_size
    dataset = load_dataset(settings.data, image_size=image_size, val_images=settings.val_images, seed=settings.seed)
    fetch = None
    if cluster is not None:
        stack.enter_context(cluster)
        device, fetch = cluster.demand.device, cluster.share(dataset)
    factory = ProxyFactory(
        data=settings.data,
        image_size=image_size,
        val_images=settings.val_images,
        data_seed=settings.seed,
        reference=space.reference,
        device=device,
        timing_device=timing_device,
        setup=settings.step_setup(),
        target_device=target,
        signals=settings.signals or (),
        fetch=fetch,
    )
    manifest = Manifest.collect(
        space,
        data=settings.data,
        data_fingerprint=dataset.fingerprint,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        objective=settings.objective,
        fidelity=str(fidelity),
        seed=settings.seed,
        settings=settings.to_dict(),
        device=device,
        target_device=target.measured.device_name if target is not None else "",
        target_device_digest=target.digest if target is not None else "",
        step=settings.step_words(),
    )
    return factory, manifest


def prepare_table(
    settings: SearchSettings, path: Path, space: SearchSpace, objective: Objective
) -> tuple[Table, Manifest]:
    """Read a table of measured networks, and say what a run in it is made from. No torch."""
    unknown = [metric for metric in objective.metrics if metric not in TABLE_METRICS]
    if unknown:
        rule = "one of what a table says, such as accuracy-macs"
        raise invalid("objective", rule, objective.name, f"It holds no {unknown[0]}.")
    table = read_table(path, space)
    assert isinstance(space, TabularSpace), "read_table refuses others"
    manifest = Manifest.collect(
        space,
        data=table.name,
        data_fingerprint=table.digest,
        num_classes=space.num_classes,
        in_channels=space.in_channels,
        objective=settings.objective,
        fidelity="looked up",
        seed=settings.seed,
        settings=settings.to_dict(),
        device="cpu",
        step="none",
    )
    return table, manifest
