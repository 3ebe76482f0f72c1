"""What an NVIDIA GPU says of itself while it is timed; read only, and only where pynvml is installed."""

import importlib
from dataclasses import dataclass
from typing import Any

import torch

_THROTTLE_REASONS = {
    "nvmlClocksEventReasonSwPowerCap": "power cap",
    "nvmlClocksEventReasonSwThermalSlowdown": "heat (driver)",
    "nvmlClocksThrottleReasonHwSlowdown": "slowed by hardware",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "heat (hardware)",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power brake",
}


@dataclass(frozen=True, slots=True)
class GpuState:
    """Attributes:
    sm_clock_mhz: Of the multiprocessors.
    memory_clock_mhz: Of the memory.
    temperature_celsius: Of the chip.
    power_watts: Drawn by the board; None where it does not tell.
    throttled_by: What lowers the clocks at the moment, in words; empty is good.
    """

    sm_clock_mhz: int
    memory_clock_mhz: int
    temperature_celsius: int
    power_watts: float | None
    throttled_by: tuple[str, ...]


def gpu_state(device: torch.device) -> GpuState | None:
    """Return the state of a CUDA device; None for another device, without pynvml, or where the driver does not tell."""
    nvml = _nvml(device)
    if nvml is None:
        return None
    try:
        handle = _handle(nvml, device)
        reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        return GpuState(
            sm_clock_mhz=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            memory_clock_mhz=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            temperature_celsius=nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            power_watts=_power_watts(nvml, handle),
            throttled_by=tuple(word for name, word in _THROTTLE_REASONS.items() if reasons & getattr(nvml, name, 0)),
        )
    except nvml.NVMLError:
        return None


def driver_version(device: torch.device) -> str | None:
    """Return the driver's version of a CUDA device; None where `gpu_state` is None."""
    nvml = _nvml(device)
    if nvml is None:
        return None
    try:
        version = nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError:
        return None
    return version.decode() if isinstance(version, bytes) else str(version)


def _nvml(device: torch.device) -> Any:
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()  # counted by the library; cheap when it is not the first
    except nvml.NVMLError:
        return None
    return nvml


def _handle(nvml: Any, device: torch.device) -> Any:
    """Find the device by its identity: torch's numbers are those of the visible devices only."""
    identity = str(torch.cuda.get_device_properties(device).uuid)
    return nvml.nvmlDeviceGetHandleByUUID(identity if identity.startswith("GPU-") else f"GPU-{identity}")


def _power_watts(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
    except nvml.NVMLError:
        return None
