"""How fast are J and F against the official metric functions' way of working? Prints the ratio of medians.

Their way: every object of every frame on its own, on the whole frame, with a void mask that is empty, and both
contours dilated by the whole disk. Written here from the metrics' definitions. The masks are blobs that drift
at 480x854, two objects; predictions are the same blobs a little off.

    python tests/performance/davis_scores.py --frames 20 --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np

from benchmarks.davis.scoring import boundary_radius, disk, score_video

HEIGHT, WIDTH = 480, 854


def blobs(seed: int, count: int, offset: int) -> list[np.ndarray]:
    """Index masks with two objects that drift to the right."""
    rng = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)), (0, 0), 30) for _ in range(2)]
    masks = []
    for number in range(count):
        moved = [np.roll(field, 4 * number + offset, axis=1) for field in fields]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for index, field in enumerate(moved, start=1):
            mask[80:400, 100:750][field[80:400, 100:750] > 0.9 * field.std()] = index
        masks.append(mask)
    return masks


def contour(mask: np.ndarray) -> np.ndarray:
    """Pixels unlike their right, lower or lower right neighbour."""
    right, below, across = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], across[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    found = mask ^ right | mask ^ below | mask ^ across
    found[-1], found[:, -1] = mask[-1] ^ right[-1], mask[:, -1] ^ below[:, -1]
    found[-1, -1] = 0
    return found


def whole_frame_scores(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """J and F of two boolean masks, without a short cut."""
    void = np.zeros_like(truth)
    union = np.sum((truth | prediction) & np.logical_not(void))
    j = np.sum((truth & prediction) & np.logical_not(void)) / union if union else 1.0
    lines = [contour(mask * np.logical_not(void)) for mask in (truth, prediction)]
    element = disk(boundary_radius(*truth.shape))
    spread = [cv2.dilate(line.astype(np.uint8), element) for line in lines]
    counts = [np.sum(line) for line in lines]
    if not all(counts):
        return j, float(not any(counts))
    recall, precision = (np.sum(lines[i] * spread[1 - i]) / counts[i] for i in (0, 1))
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    truth, predictions = blobs(0, args.frames, 0), blobs(0, args.frames, 3)

    def ours() -> np.ndarray:
        return np.array([[one.j, one.f] for one in score_video(truth, predictions, 2, "blobs")])

    def official() -> np.ndarray:
        pairs = [[(t == i, p == i) for t, p in zip(truth, predictions, strict=True)] for i in (1, 2)]
        return np.array([[whole_frame_scores(*pair) for pair in frames] for frames in pairs]).transpose(0, 2, 1)

    seconds: dict[str, list[float]] = {"ours": [], "official": []}
    found = {}
    for _ in range(args.repeats):
        for name, method in (("ours", ours), ("official", official)):
            start = clock()
            found[name] = method()
            seconds[name].append(clock() - start)
    medians = {name: 1000 * statistics.median(times) / args.frames for name, times in seconds.items()}
    print(f"{WIDTH}x{HEIGHT}, 2 objects, {args.frames} frames, median of {args.repeats}")
    print(f"ours {medians['ours']:.2f} ms, official way {medians['official']:.2f} ms a frame")
    difference = np.abs(found["ours"] - found["official"]).max()
    print(f"official / ours = {medians['official'] / medians['ours']:.1f}; largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
