"""The sub-commands of ``flsl-bench``, one file each; a file of ``tools/`` that does the same starts the same."""
