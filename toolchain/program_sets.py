"""The sets of programs that are not Python: what each holds, and what it is built from where it must be.

A set is downloaded or built as a whole, and lies in a folder of its own in the cache. The go.mod and go.sum files
beside this module pin every line of what is built.
"""

from dataclasses import dataclass

from toolchain import versions

BIN = "bin"
CRDS = "crds"

PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One Go program: the folder of its go.mod, its package, and what is set at build time."""

    name: str
    module: str
    package: str
    version: str
    usual: str
    """How long its build takes after those before it in its set."""
    variables: tuple[tuple[str, str], ...] = ()
    tags: str = ""


@dataclass(frozen=True, kw_only=True)
class ModuleFiles:
    """Files of a Go module that belong to a set as they are."""

    module: str
    """The folder of a go.mod that requires `of`."""
    of: str
    patterns: tuple[str, ...]
    folder: str = BIN
    programs: tuple[str, ...] = ()
    """Those that are to be run; a module's zip keeps no execute bit."""


@dataclass(frozen=True, kw_only=True)
class ProgramSet:
    """Programs that are of use only together."""

    name: str
    title: str
    """As people call it, with its version."""
    modules: tuple[str, ...]
    """Folders with a go.mod, in the order in which they make the cache's key."""
    versions: tuple[str, ...]
    programs: tuple[Program, ...]
    files: tuple[ModuleFiles, ...] = ()
    space: int
    """Bytes: Go's caches for one build, thrown away afterwards."""
    otherwise: str
    """What a person may do instead of having it built."""

    @property
    def executables(self) -> tuple[str, ...]:
        """Everything in the set's bin folder."""
        return (*(each.name for each in self.programs), *(name for files in self.files for name in files.programs))


PULUMI = ProgramSet(
    name="pulumi",
    title=f"Pulumi {versions.PULUMI}",
    modules=("pulumi", "language-python"),
    versions=(versions.PULUMI, versions.LANGUAGE_HOST),
    programs=(
        Program(
            name="pulumi-language-python",
            module="language-python",
            package="github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
            version=versions.LANGUAGE_HOST,
            usual="about 1 minute on two cores, once per machine",
            variables=((f"{PULUMI_SDK}/go/common/version.Version", f"v{versions.LANGUAGE_HOST}"),),
        ),
        Program(
            name="pulumi",
            module="pulumi",
            package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            version=versions.PULUMI,
            usual="5 to 8 minutes on two cores, once per machine",
            variables=((f"{PULUMI_SDK}/go/common/version.Version", f"v{versions.PULUMI}"),),
            tags="osusergo,grpcnotrace",
        ),
    ),
    files=(
        ModuleFiles(
            module="pulumi",
            of=PULUMI_SDK,
            patterns=("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"),
            programs=("pulumi-language-python-exec", "pulumi-resource-pulumi-python"),
        ),
    ),
    space=6 << 30,
    otherwise="install Pulumi yourself from https://www.pulumi.com/docs/install/",
)

KUBERNETES = ProgramSet(
    name="kubernetes",
    title=f"Pulumi's Kubernetes provider {versions.PULUMI_KUBERNETES}",
    modules=("kubernetes-provider",),
    versions=(versions.PULUMI_KUBERNETES,),
    programs=(
        Program(
            name="pulumi-resource-kubernetes",
            module="kubernetes-provider",
            package=".",
            version=versions.PULUMI_KUBERNETES,
            usual="8 to 12 minutes on two cores, once per machine",
            variables=(
                (
                    "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version",
                    versions.PULUMI_KUBERNETES,
                ),
            ),
        ),
    ),
    space=6 << 30,
    otherwise=f"install it yourself: `pulumi plugin install resource kubernetes v{versions.PULUMI_KUBERNETES}`",
)


def _kube(name: str, usual: str) -> Program:
    major, minor, _ = versions.KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    return Program(
        name=name,
        module="kube",
        package=f"k8s.io/kubernetes/cmd/{name}",
        version=versions.KUBERNETES,
        usual=usual,
        variables=(
            (f"{version}.gitVersion", f"v{versions.KUBERNETES}"),
            (f"{version}.gitMajor", major),
            (f"{version}.gitMinor", minor),
        ),
    )


CLUSTER = ProgramSet(
    name="cluster",
    title="the programs of a test cluster",
    modules=("etcd", "kube", "kwok", "karpenter", "kuberay"),
    versions=(versions.ETCD, versions.KUBERNETES, versions.KWOK, versions.KARPENTER, versions.KUBERAY),
    programs=(
        Program(
            name="etcd", module="etcd", package=".", version=versions.ETCD, usual="1 to 2 minutes on two cores, once"
        ),
        _kube("kube-apiserver", "5 to 6 minutes"),
        _kube("kube-controller-manager", "1 to 2 minutes"),
        _kube("kube-scheduler", "half a minute"),
        _kube("kube-proxy", "half a minute"),
        Program(
            name="kwok",
            module="kwok",
            package="sigs.k8s.io/kwok/cmd/kwok",
            version=versions.KWOK,
            usual="2 to 3 minutes",
        ),
        Program(
            name="karpenter-kwok",
            module="karpenter",
            package="sigs.k8s.io/karpenter/kwok",
            version=versions.KARPENTER,
            usual="3 minutes",
        ),
        Program(
            name="kuberay-operator",
            module="kuberay",
            package="github.com/ray-project/kuberay/ray-operator",
            version=versions.KUBERAY,
            usual="3 minutes",
        ),
    ),
    files=(
        ModuleFiles(
            module="karpenter",
            of="sigs.k8s.io/karpenter",
            patterns=("pkg/apis/crds/*.yaml", "kwok/apis/crds/*.yaml"),
            folder=CRDS,
        ),
        ModuleFiles(
            module="kuberay",
            of="github.com/ray-project/kuberay/ray-operator",
            patterns=("config/crd/bases/*.yaml",),
            folder=CRDS,
        ),
    ),
    space=9 << 30,
    otherwise="name a cluster of your own in MODELYARD_TEST_KUBECONFIG",
)
