"""Score a published fine-tuned detector or segmenter with this suite's own pipeline."""

from benchmarks.commands.score_detector import main
from benchmarks.errors import run_command

if __name__ == "__main__":
    run_command(main)
