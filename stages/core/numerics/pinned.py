"""The settings under which torch gives the same bytes on every x86-64 processor with AVX2.

Modules that compute import torch from here. The settings work only when they come first, so it is
an error if torch has been imported before. On other processors the stages work too, but a line on
standard error says that their bytes may differ.
"""

import os
import platform
import sys

import numpy as np

if "torch" in sys.modules:
    raise ImportError("torch was imported before stages.core.numerics, too late to pin its results")

# numpy asks the processor itself; /proc/cpuinfo would name the host of an emulated one.
supports = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
pinned = platform.machine() in ("x86_64", "AMD64") and supports["AVX2"] and supports["FMA3"]
if not pinned:
    warning = "warning: not an x86-64 processor with AVX2: outputs may differ from dvc.lock"
    print(warning, file=sys.stderr)

os.environ["ATEN_CPU_CAPABILITY"] = "avx2" if pinned else "default"
os.environ["MKL_CBWR"] = "COMPATIBLE"  # with AVX2 here, Intel and AMD differ
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
os.environ["OMP_NUM_THREADS"] = "1"  # the order of a sum follows the number of threads

import torch  # noqa: E402

torch.set_num_threads(1)
# These backends choose block sizes from the CPU's cache sizes, so sums differ between machines.
# Without them a convolution is a product of matrices by MKL, which promises equal results under the
# setting above.
torch.backends.nnpack.set_flags(False)
torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


class Conv2d(torch.nn.Conv2d):
    """A convolution with square kernels. Where it can, oneDNN computes it, several times as fast as
    MKL: for kernels of 2 to 7 rows and less padding than that it takes its kernel `jit:avx2`, as
    ONEDNN_VERBOSE=1 shows. By its source (jit_avx2_convolution) the shapes alone then decide the
    order of a sum.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.padding, tuple)  # torch has names for some, too
        (kernel, _), (padding, _) = self.kernel_size, self.padding
        if not (2 <= kernel <= 7 and padding < kernel):
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


__all__ = ["Conv2d", "torch"]
