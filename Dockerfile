# The README's commands on a machine with a GPU, as a user without rights:
#   docker build -t flsl . && docker run --gpus all flsl
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04
RUN apt-get update \
 && apt-get install -y --no-install-recommends git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home flsl
USER flsl
WORKDIR /home/flsl/suite
COPY --chown=flsl . .
RUN make setup
ENV PATH=/home/flsl/suite/.venv/bin:$PATH
CMD ["make", "demo"]
