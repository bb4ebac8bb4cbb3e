"""The archives that publishers offer by direct link, with sizes and checksums from a source that is named.

No publisher states a checksum. Sizes and SHA-256 sums are those that TensorFlow Datasets recorded for the same links
(tensorflow/datasets: ``tensorflow_datasets/url_checksums/coco2017.txt`` @ 2282548b, ``url_checksums/ade20k.txt`` @
6f96ef33, ``video/davis/checksums.tsv`` @ 90b66237). COCO's SHA-1 and MD5 sums in other programs are not needed beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCE = "TensorFlow Datasets"


@dataclass(frozen=True)
class Archive:
    """One zip file. ``gives`` are paths below the data set's folder that are there once it is unpacked."""

    url: str
    size: int  # bytes
    sha256: str | None  # None: no source states one; then size and the zip's own sums are all there is
    gives: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]

    def is_unpacked(self, folder: Path) -> bool:
        """Whether everything it gives is in ``folder``."""
        paths = [folder / path for path in self.gives]
        return all(path.is_file() or (path.is_dir() and any(path.iterdir())) for path in paths)


#: Data set -> its archives. UAVDT (Google Drive and Baidu) and ImageNet (account needed) have no direct link.
ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "coco": (
        Archive(
            "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
            252_907_541,
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        ),
        Archive(
            "http://images.cocodataset.org/zips/val2017.zip",
            815_585_330,
            "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            ("val2017",),
        ),
        Archive(
            "http://images.cocodataset.org/zips/train2017.zip",
            19_336_861_798,
            "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            ("train2017",),
        ),
    ),
    "davis": (
        Archive(
            "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
            832_766_765,
            "e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
            ("DAVIS/JPEGImages/480p", "DAVIS/Annotations/480p", "DAVIS/ImageSets/2017"),
        ),
    ),
    "ade20k": (
        Archive(
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            967_382_037,
            "7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29",
            (
                "ADEChallengeData2016/images",
                "ADEChallengeData2016/annotations",
                "ADEChallengeData2016/objectInfo150.txt",
            ),
        ),
    ),
}
