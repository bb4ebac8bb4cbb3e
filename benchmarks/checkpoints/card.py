"""The card of a canonical checkpoint: everything about a network that its tensors do not say.

Two files with identical tensor names and shapes can be different networks: the number of heads,
the epsilon of the norms and the way the position table is resized are in no tensor. The card
carries them, each with where it was learnt, inside the safetensors metadata and beside the file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from benchmarks.errors import InputError

#: Version 1 is read as long as every fact that was added since has the value it always had.
CARD_VERSION = 1

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: Where a fact can come from: read from the file, implied by tensor shapes, looked up under a name (of a method or an
#: architecture), given on the command line, taken from the programs whose layout the file has although they may not
#: have made it, or from nowhere. The method itself is ``file`` only where the file has a mark that no other leaves.
PROVENANCES = ("file", "inferred", "table", "user", "layout", "unknown")


@dataclass(frozen=True)
class ResizeRule:
    """How the method resamples its position table to another token grid.

    ``offset`` is what the DINO family adds to the target size before it divides: the resampler is
    then given ``scale_factor = (new + offset) / old``. With 0 it is given the target size. The two
    differ by some percent of the table, so the rule belongs to the checkpoint.
    """

    mode: str = "bicubic"
    offset: float = 0.0
    antialias: bool = False
    align_corners: bool = False  # torchvision alone lays the corner samples on each other


#: The rule of DINO and of everything that descends from it, FLSL included.
DINO_RESIZE = ResizeRule(offset=0.1)
#: Plain bicubic to the asked size: MAE, MSN, HuggingFace and the OpenMMLab programs.
SIZE_RESIZE = ResizeRule()
#: timm's, and DINOv2's with registers.
ANTIALIAS_RESIZE = ResizeRule(antialias=True)

MLPS = ("mlp", "swiglu")
ACTIVATIONS = ("gelu", "gelu-tanh", "silu")
POSITIONS = ("learned", "sincos-mae", "sincos-moco", "rope")
RESNET_BLOCKS = ("bottleneck", "basic")


@dataclass(frozen=True)
class Architecture:
    """A vision transformer, fully specified. Sizes: ``image_size`` and ``patch_size`` in pixels."""

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int
    image_size: int
    kind: str = "vit"
    mlp_hidden: int | None = None  # width of the hidden layer; None: 4 * embed_dim
    mlp: str = "mlp"  # swiglu: gate and value stacked in fc1; the activation is the gate's
    activation: str = "gelu"
    qkv_bias: bool = True
    qk_norm: bool = False
    class_token: bool = False
    registers: int = 0
    layer_scale: bool = False
    final_norm: bool = True
    eps: float = 1e-6
    position: str = "learned"  # one of POSITIONS; rope has no table, its periods are a tensor of the file
    position_prefix_rows: int = 0  # 1 when the table has a row for the class token

    def __post_init__(self) -> None:
        for name, value, known in (
            ("kind", self.kind, ("vit",)),
            ("mlp", self.mlp, MLPS),
            ("activation", self.activation, ACTIVATIONS),
            ("position", self.position, POSITIONS),
        ):
            if value not in known:
                raise InputError(f"a ViT with {name} {value!r} is not known here: {' or '.join(known)} are")
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise InputError(
                f"{self.num_heads} heads do not divide the embedding width {self.embed_dim}: "
                "give the right number with --heads"
            )
        if self.position == "rope" and self.embed_dim % (4 * self.num_heads):
            raise InputError(f"rotary positions need heads whose width is a multiple of 4, not {self.num_heads} heads")
        if self.image_size % self.patch_size:
            raise InputError(f"patch size {self.patch_size} does not divide the image size {self.image_size}")

    @property
    def grid(self) -> int:
        """Tokens along one side of the position table's own (square) grid."""
        return self.image_size // self.patch_size

    @property
    def hidden(self) -> int:
        """Width of the MLP's hidden layer."""
        return self.mlp_hidden or 4 * self.embed_dim


@dataclass(frozen=True)
class ResNetArchitecture:
    """A ResNet as torchvision has it.

    ``blocks``, ``inner`` and ``widths``: blocks, inner channels and output channels of each of the four stages.
    ``block``: ``bottleneck`` (ResNet-50: 1x1, 3x3 with the stride, 1x1) or ``basic`` (ResNet-18 and 34: 3x3 with
    the stride, 3x3, so ``inner`` and ``widths`` are the same).
    """

    stem: int
    blocks: tuple[int, ...]
    inner: tuple[int, ...]
    widths: tuple[int, ...]
    image_size: int = 224
    eps: float = 1e-5
    kind: str = "resnet"
    block: str = "bottleneck"  # one of RESNET_BLOCKS

    def __post_init__(self) -> None:
        for name in ("blocks", "inner", "widths"):  # JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.block not in RESNET_BLOCKS:
            raise InputError(f"a ResNet of {self.block!r} blocks is not known here: {' or '.join(RESNET_BLOCKS)} are")
        if self.block == "basic" and self.inner != self.widths:
            raise InputError(f"basic blocks have one width, not {self.inner} inside and {self.widths} out")

    @property
    def embed_dim(self) -> int:
        """Channels of the last stage's map, which are the features."""
        return self.widths[-1]

    @property
    def patch_size(self) -> int:
        """Pixels along one side of a cell of the last stage's map."""
        return 32

    @property
    def convolutions(self) -> tuple[tuple[int, bool], ...]:
        """Kernel side of each convolution of a block, and whether it has the stride of the stage."""
        return ((3, True), (3, False)) if self.block == "basic" else ((1, False), (3, True), (1, False))

    @property
    def depth(self) -> int:
        """The number in the network's name: convolutions of the blocks, the stem and the classifier that went."""
        return len(self.convolutions) * sum(self.blocks) + 2


@dataclass(frozen=True)
class TimmArchitecture:
    """A network that timm's own class runs: its name in timm's registry and the arguments of its constructor.

    ``widths`` and ``strides``: channels and pixels per cell of each feature map; one of each in a ViT, whose blocks
    all have the same. The features are the last map's. ``prefix``: class, distillation and register tokens before the
    patches. ``eps``: of every norm where it is not the class's own. ``norm_tokens``: the head's norm is applied to
    every cell of the last map, as DINOv3 does with ConvNeXt; timm norms the pooled vector.
    """

    name: str
    arguments: dict[str, Any]
    embed_dim: int
    depth: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    image_size: tuple[int, int] = (224, 224)  # rows, columns; of the position table or windows where it has such
    num_heads: int | None = None  # None where stages differ or there is none
    prefix: int = 0
    eps: float | None = None
    norm_tokens: bool = False
    fixed_size: bool = False  # its tables belong to one image size
    kind: str = "timm"

    def __post_init__(self) -> None:
        for name in ("widths", "strides", "image_size"):  # JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def patch_size(self) -> int:
        """Pixels along one side of a cell of the last map."""
        return self.strides[-1]

    @property
    def multiple(self) -> int:
        """Pixels of which sides of images must be multiples."""
        return self.strides[0]

    @property
    def hierarchical(self) -> bool:
        """Whether it has maps of several strides, as a ResNet has."""
        return len(self.strides) > 1


@dataclass(frozen=True)
class ModuleArchitecture:
    """Somebody's own network that was never a file: known by its width, its patch size (pixels) and its class."""

    embed_dim: int
    patch_size: int
    name: str = ""
    kind: str = "module"


@dataclass(frozen=True)
class Card:
    """What a canonical checkpoint says about itself."""

    method: str
    architecture: Architecture | ResNetArchitecture | TimmArchitecture | ModuleArchitecture
    resize: ResizeRule
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    licence: str = "unknown"
    source_name: str = ""  # file name of the source; never a path of the machine it was on
    source_sha256: str = ""
    source_revision: str = ""  # of the hub's repository that it came from
    branch: str = ""
    prefix: str = ""
    epochs: int | None = None  # of pretraining that the weights have behind them, where a training file says it
    data: str = ""  # of pretraining, where the built-in list says it
    #: fact (for instance "num_heads") -> one of :data:`PROVENANCES`
    provenance: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def vit(self) -> Architecture:
        """The architecture of a card whose network is the house's ViT."""
        if not isinstance(self.architecture, Architecture):
            raise InputError(
                f"this needs the house's ViT, not a {self.architecture.kind} network: give another checkpoint"
            )
        return self.architecture

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON data."""
        return {"card_version": CARD_VERSION, **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(data: dict[str, Any], where: str) -> Card:
        """Rebuild a card from JSON data; :class:`InputError` names ``where`` when it does not fit."""
        if not isinstance(data, dict):
            raise InputError(f"{where}: the card is no JSON object: convert the source file again")
        data = dict(data)
        version = data.pop("card_version", None)
        if version != CARD_VERSION:
            raise InputError(f"{where}: card version {version!r} is not known here: convert the source file again")
        try:
            kinds = {
                "vit": Architecture,
                "resnet": ResNetArchitecture,
                "timm": TimmArchitecture,
                "module": ModuleArchitecture,
            }
            data["architecture"] = kinds[data["architecture"].get("kind", "vit")](**data["architecture"])
            data["resize"] = ResizeRule(**data["resize"])
            for name in ("mean", "std", "notes"):
                data[name] = tuple(data[name])
            return Card(**data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: the card is incomplete ({error}): convert the source file again") from error
