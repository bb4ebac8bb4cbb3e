"""Table 6 of the paper: the number of centroids K, judged by bbox-aligned k-NN beside the paper's numbers.

Starts the pretraining of every setting, or picks it up where it was; --checkpoint SETTING=PATH takes one that is there.
Scale paper is ViT-S/16, 100 epochs each, and needs GPUs; scale mini runs the small configuration on two cores, on the
shapes world if there is no ImageNet under --data-root, and says nothing about the paper.
"""

from benchmarks.errors import run_command
from benchmarks.knn.ablation import KnnAblation
from benchmarks.tables.driver import table_command
from benchmarks.tables.table6 import ABLATION

EXAMPLE = "python tools/table6.py --data-root data --out runs/table6 --launcher torchrun --gpus 8 --seeds 0 1 2"

if __name__ == "__main__":
    run_command(lambda: table_command(KnnAblation(ABLATION), __doc__, EXAMPLE))
