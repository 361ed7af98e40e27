"""Memory of this process, of the machine and of its GPU."""

import os

from g2r.errors import DependencyError

try:
    import psutil
except ImportError as error:
    raise DependencyError("measuring memory needs psutil: pip install 'g2r[eval]'") from error


def resident_bytes() -> int:
    """Physical memory that this process holds, mapped files included."""
    return int(psutil.Process().memory_info().rss)


def available_bytes(device: str) -> int:
    """Memory that can be had without swapping; that of the GPU for a CUDA device."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def physical_cores() -> int:
    """Physical cores, as far as the machine tells; a virtual machine's are what it calls so."""
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1
