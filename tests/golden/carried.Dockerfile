# train-yolov8.4.190-base-cu130
# Rendered by snapenv 0.1.0 from the lock beside this file. Build it with
#   snapenv build .        or plainly        docker build -t my-environment .
#
# The base, and why:
#   - no package is a base image's own: all are installed from the lock

FROM nvcr.io/nvidia/pytorch:25.10-py3 AS base

# uv installs the packages. It is needed only while building and stays out of the image.
# A company's own certificate authority, where the build is lent one as ca.pem, stays out too.
FROM base AS uv
COPY pylock.toml ca.pe[m] /lent/
RUN if [ -f /lent/ca.pem ]; then export SSL_CERT_FILE=/lent/ca.pem; fi; \
    python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \
       "https://files.example.com/uv-0.9.3-py3-none-manylinux_2_28_x86_64.whl" /uv.whl \
    && echo "e6184ce10e266134fdcfa401e8f1a95005bcd4f18d16b62b757323e2833fe9a9  /uv.whl" | sha256sum --check --quiet \
    && python3 -m zipfile -e /uv.whl /uv \
    && install -D /uv/uv-*.data/scripts/uv /uv/bin/uv

FROM base

# Ultralytics must neither install packages by itself nor write into a home that may not be there.
ENV YOLO_AUTOINSTALL="false" \
    YOLO_CONFIG_DIR="/tmp/ultralytics" \
    MPLCONFIGDIR="/tmp/matplotlib"

# The environment variables that change training, as they were where this was captured.
ENV TORCH_ALLOW_TF32_CUBLAS_OVERRIDE="0"

# The wheels bring their own CUDA libraries: the base's must not be found before them.
ENV LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64"

# Every pinned package, by hash, into a venv of its own that sees nothing of the base image's.
# What travels with the snapshot comes as a wheel from vendor/, by hash too.
COPY pylock.toml /opt/snapenv/snapshot/
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,from=uv,source=/uv/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=uv,source=/lent,target=/lent \
    --mount=type=bind,source=vendor,target=/opt/snapenv/snapshot/vendor \
    if [ -f /lent/ca.pem ]; then export SSL_CERT_FILE=/lent/ca.pem; fi; \
    export UV_LINK_MODE=copy UV_PYTHON_INSTALL_DIR=/opt/snapenv/python \
    && uv venv --quiet --python 3.11 /opt/snapenv/venv \
    && uv pip sync --quiet --allow-empty-requirements --require-hashes \
       --python /opt/snapenv/venv/bin/python /opt/snapenv/snapshot/pylock.toml

# The files that were edited, added or deleted by hand, as overlay/index.json lists them.
RUN --mount=type=bind,source=overlay,target=/lent/overlay \
    /opt/snapenv/venv/bin/python -B /lent/overlay/apply.py
ENV VIRTUAL_ENV="/opt/snapenv/venv" \
    PATH="/opt/snapenv/venv/bin:$PATH"

# The snapshot itself: what snapenv restore compares with.
COPY snapenv.toml pylock.toml Dockerfile SHA256SUMS /opt/snapenv/snapshot/
