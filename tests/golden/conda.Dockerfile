# train-yolov8.4.190-base-cu130
# Rendered by snapenv 0.1.0 from the lock beside this file. Build it with
#   snapenv build .        or plainly        docker build -t my-environment .
# It needs BuildKit: the docker command has it with its plugin buildx (from Docker 23 on), before
# with DOCKER_BUILDKIT=1. snapenv needs neither.
#
# The base, and why:
#   - no package is a base image's own: all are installed from the lock
#
# Each step is a layer, and what changes seldom comes first: a layer that is the same is neither
# built nor pulled again. So steps stay apart, although they follow one another:
# hadolint global ignore=DL3059

FROM nvcr.io/nvidia/pytorch:25.10-py3 AS base
# Whatever user and shell the base ends with, the steps below run as root, in sh. A container does
# not: see the end.
# hadolint ignore=DL3002
USER 0:0
SHELL ["/bin/sh", "-c"]
# Nothing of the base's may lead Python or the loader to other code, in a step or in a container.
ENV LD_PRELOAD="" \
    PYTHONHOME="" \
    PYTHONPATH="" \
    PYTHONSAFEPATH=""

# Where BuildKit is off, this step says so. Where it is on, nothing needs the stage and it is left out.
FROM base AS buildkit
RUN --mount=type=tmpfs,target=/mnt true

# A company's own certificate authority, where the build is given one as ca.pem; not in the image.
FROM scratch AS certificates
WORKDIR /certificates
COPY ca.pe[m] /certificates/

# uv installs the packages. It is needed only while building; not in the image.
FROM base AS uv
RUN --mount=type=bind,from=certificates,source=/certificates,target=/mnt \
    if [ -f /mnt/ca.pem ]; then export SSL_CERT_FILE=/mnt/ca.pem; fi; \
    python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \
       "https://files.example.com/uv-0.9.3-py3-none-manylinux_2_28_x86_64.whl" /uv.whl \
    && echo "e6184ce10e266134fdcfa401e8f1a95005bcd4f18d16b62b757323e2833fe9a9  /uv.whl" > /uv.sha256 \
    && sha256sum --check --quiet /uv.sha256 \
    && python3 -m zipfile -e /uv.whl /uv \
    && install -D /uv/uv-*.data/scripts/uv /uv/bin/uv

# py-rattler installs conda's packages, in a Python of its own; likewise not in the image.
FROM base AS rattler
RUN --mount=type=bind,from=certificates,source=/certificates,target=/mnt \
    if [ -f /mnt/ca.pem ]; then export SSL_CERT_FILE=/mnt/ca.pem; fi; \
    python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \
       "https://files.example.com/py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.whl" /py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.whl \
    && echo "e6184ce10e266134fdcfa401e8f1a95005bcd4f18d16b62b757323e2833fe9a9  /py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.whl" > /rattler.sha256 \
    && sha256sum --check --quiet /rattler.sha256
RUN --mount=type=bind,from=uv,source=/uv/bin,target=/uv \
    --mount=type=bind,from=certificates,source=/certificates,target=/certificates \
    if [ -f /certificates/ca.pem ]; then export SSL_CERT_FILE=/certificates/ca.pem; fi; \
    export UV_PYTHON_INSTALL_DIR=/mnt/rattler/python UV_NO_CACHE=1; \
    /uv/uv venv --quiet --no-project --python '>=3.10' /mnt/rattler \
    && /uv/uv pip install --quiet --no-index --no-deps --python /mnt/rattler/bin/python \
       /py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.whl

FROM base

# A home and working folder that anyone may write to, whoever the container runs as.
WORKDIR /home/snapenv
RUN chmod 1777 /home/snapenv

# Conda's packages that were built in 2021.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=rattler,source=/mnt/rattler,target=/mnt/rattler \
    --mount=type=bind,source=conda-install.py,target=/mnt/lock/conda-install.py \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=conda-lock.2021.json,target=/mnt/lock/conda-lock.2021.json \
    --mount=type=bind,source=vendor/zlib-1.3-h1_0.conda,target=/mnt/lock/vendor/zlib-1.3-h1_0.conda \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    RATTLER_CACHE_DIR=/mnt/cache /mnt/rattler/bin/python -B /mnt/lock/conda-install.py \
       /mnt/lock/conda-lock.2021.json /opt/snapenv/venv

# Conda's packages that were built in 2025.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=rattler,source=/mnt/rattler,target=/mnt/rattler \
    --mount=type=bind,source=conda-install.py,target=/mnt/lock/conda-install.py \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=conda-lock.2025.json,target=/mnt/lock/conda-lock.2025.json \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    RATTLER_CACHE_DIR=/mnt/cache /mnt/rattler/bin/python -B /mnt/lock/conda-install.py \
       /mnt/lock/conda-lock.2025.json /opt/snapenv/venv

# torch and its CUDA libraries: gigabytes, and the same for months.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=pylock.torch.toml,target=/mnt/lock/pylock.torch.toml \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy /mnt/bin/uv pip install --quiet --no-deps --require-hashes \
       --python /opt/snapenv/venv/bin/python --requirements /mnt/lock/pylock.torch.toml

# The other packages.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=pylock.pins.toml,target=/mnt/lock/pylock.pins.toml \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy /mnt/bin/uv pip install --quiet --no-deps --require-hashes \
       --python /opt/snapenv/venv/bin/python --requirements /mnt/lock/pylock.pins.toml

# ultralytics, apart: it changes most often, and is small.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=pylock.ultralytics.toml,target=/mnt/lock/pylock.ultralytics.toml \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy /mnt/bin/uv pip install --quiet --no-deps --require-hashes \
       --python /opt/snapenv/venv/bin/python --requirements /mnt/lock/pylock.ultralytics.toml

# The environment is the active one. The base's pip may have constraints of its own (NVIDIA's pins
# hundreds of packages): they are not for this environment.
ENV CONDA_DEFAULT_ENV="/opt/snapenv/venv" \
    CONDA_PREFIX="/opt/snapenv/venv" \
    CONDA_SHLVL="1" \
    OURS="/opt/snapenv/venv/share" \
    ZOO_GREETING="hello there" \
    PATH="/opt/snapenv/venv/bin:$PATH" \
    PIP_CONSTRAINT=""

# The wheels bring their own CUDA libraries: the base's must not be found before them, nor be put
# back by what the base lets each shell read.
ENV LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64" \
    BASH_ENV="" \
    ENV=""

# The environment variables that change training, as they were where this was captured.
ENV PYTHONOPTIMIZE="0" \
    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE="0"

# Ultralytics must neither install packages by itself nor write into a home that may not be there.
ENV YOLO_AUTOINSTALL="false" \
    YOLOv5_AUTOINSTALL="false" \
    YOLO_CONFIG_DIR="/tmp/ultralytics" \
    MPLCONFIGDIR="/tmp/matplotlib"

# The snapshot itself: what snapenv restore compares with.
COPY snapenv.toml pylock.toml conda-lock.json conda-explicit.txt conda-install.py conda-lock.2021.json conda-lock.2025.json pylock.torch.toml pylock.pins.toml pylock.ultralytics.toml Dockerfile SHA256SUMS /opt/snapenv/snapshot/

# Not root, and nobody in particular: --user UID:GID of anyone needs no entry in /etc/passwd, as
# names, settings and caches are found by these.
ENV HOME="/home/snapenv" \
    USER="snapenv" \
    LOGNAME="snapenv"
USER 1000:1000
