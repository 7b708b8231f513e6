"""The settings under which torch gives the same bytes on every x86-64 processor with AVX2.

Whoever needs torch imports it from here: `from stages.core.numerics.pinned import torch`. The settings
work only when they come first, so a torch that is there already is an error. On other processors
the stages work too, but a line on standard error says that their bytes may differ.
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
# These two may cut a convolution into blocks after the size of the caches. Without them it is a
# product of matrices by MKL, which promises equal results under the setting above.
torch.backends.nnpack.set_flags(False)
torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


class Conv2d(torch.nn.Conv2d):
    """A convolution that oneDNN computes, several times as fast as MKL.

    Only for shapes to which oneDNN gives its kernel `jit:avx2`, as ONEDNN_VERBOSE=1 shows: there
    the shapes alone decide in which order a sum is added up, by its source (jit_avx2_convolution).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.padding, tuple)  # torch has names for some, too
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


__all__ = ["Conv2d", "torch"]
