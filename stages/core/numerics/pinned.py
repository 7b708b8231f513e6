"""Settings that make torch compute the same bytes on every x86-64 processor with AVX2.

Modules that compute import torch from here. The settings only work before torch is imported, so
importing torch first is an error. On other processors the stages work too, but a line on standard
error says that their bytes may differ.
"""

import os
import platform
import sys

import numpy as np

if "torch" in sys.modules:
    raise ImportError("torch was imported before stages.core.numerics: too late to pin its results")

# numpy asks the processor itself; under emulation, /proc/cpuinfo describes the host's.
supports = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
pinned = platform.machine() in ("x86_64", "AMD64") and supports["AVX2"] and supports["FMA3"]
if not pinned:
    warning = "warning: not an x86-64 processor with AVX2: outputs may differ from dvc.lock"
    print(warning, file=sys.stderr)

os.environ["ATEN_CPU_CAPABILITY"] = "avx2" if pinned else "default"
os.environ["MKL_CBWR"] = "COMPATIBLE"  # with AVX2, Intel and AMD would differ
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
os.environ["OMP_NUM_THREADS"] = "1"  # the number of threads changes the order of sums

import torch  # noqa: E402

torch.set_num_threads(1)
# These backends choose block sizes from the CPU's cache sizes, so sums differ between machines.
# Without them a convolution is a matrix product by MKL, which MKL_CBWR makes reproducible.
torch.backends.nnpack.set_flags(False)
torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


class Conv2d(torch.nn.Conv2d):
    """A convolution with square kernels, computed by oneDNN where that gives equal results: it is
    several times as fast as MKL.

    For the shapes that `forward` selects, oneDNN should use its implementation `jit:avx2`:
    ONEDNN_VERBOSE=1 shows which it uses. By its source (jit_avx2_convolution), the order of a sum
    then depends on the shapes alone.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.padding, tuple)  # torch also accepts names, such as "same"
        (kernel, _), (padding, _), (stride, _) = self.kernel_size, self.padding, self.stride
        rows = (min(x.shape[2:]) + 2 * padding - kernel) // stride + 1
        if not (2 <= kernel <= 7 and padding <= min(3, rows, kernel - 1)):
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


__all__ = ["Conv2d", "torch"]
