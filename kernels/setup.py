"""The native part; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

setup(
    ext_modules=[
        CppExtension(
            "modelyard_kernels._native",
            [f"csrc/{name}.cpp" for name in ("ops", "avx2", "avx512", "avx512_bf16")],
            depends=[str(path) for suffix in ("h", "inl") for path in sorted(Path("csrc").glob(f"*.{suffix}"))],
            # each instruction set's unit chooses its own target, so the library loads on any x86-64 CPU
            extra_compile_args=["-O3", "-g0", "-std=c++20", "-fopenmp", "-Wno-psabi", "-DAT_PARALLEL_OPENMP=1"],
            extra_link_args=["-fopenmp"],
        )
    ],
    cmdclass={"build_ext": BuildExtension.with_options(use_ninja=False)},
)
