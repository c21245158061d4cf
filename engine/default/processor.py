# SPDX-License-Identifier: Apache-2.0
"""What this machine's processor has; import it before torch.

OpenBLAS takes its slow kernels on processors that are newer than itself. Those with AVX-512 BF16 run
the kernels of Cooper Lake, the first of their family, an order of magnitude faster.
"""
import os


def flags():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        line = ""
    return set(line.split())


HAS_BFLOAT16 = "avx512_bf16" in flags()
if HAS_BFLOAT16:
    os.environ.setdefault("OPENBLAS_CORETYPE", "Cooperlake")
