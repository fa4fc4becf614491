# train-yolov8.4.190-base-cu130
# Rendered by snapenv 0.1.0 from the lock beside this file. Build it with
#   snapenv build .        or plainly        docker build -t my-environment .
# It needs BuildKit: the docker command has it with its plugin buildx (from Docker 23 on), before
# with DOCKER_BUILDKIT=1. snapenv needs neither.
#
# The base, and why:
#   - no package is a base image's own: all are installed from the lock
#   - it has the libraries of CUDA 12.6
#   - its glibc 2.35 will do: compiled files need 2.28
#
# Each step is a layer, and what changes seldom comes first: a layer that is the same is neither
# built nor pulled again. So steps stay apart, although they follow one another:
# hadolint global ignore=DL3059

FROM nvcr.io/nvidia/l4t-jetpack:r36.4.3 AS base
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

# What fetches and unpacks the tools below, and the authorities that https is checked by. These are
# the distribution's packages of today, and not in the image; what they fetch is checked by its hash.
FROM base AS tools
# hadolint ignore=DL3008
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    for sources in ubuntu.sources debian.sources ../sources.list; do \
        if [ -s "/etc/apt/sources.list.d/$sources" ]; then break; fi; \
    done; \
    { echo "Dir::Etc::SourceList \"/etc/apt/sources.list.d/$sources\"; Dir::Etc::SourceParts \"-\";"; \
      echo 'APT::Update::Error-Mode "any";'; \
      if [ -f /mnt/certificates/ca.pem ]; then echo 'Acquire::https::CAInfo "/mnt/certificates/ca.pem";'; fi; \
    } > /mnt/apt.conf; \
    export APT_CONFIG=/mnt/apt.conf DEBIAN_FRONTEND=noninteractive; \
    apt-get update --quiet \
    && apt-get install --quiet --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*

# uv installs the packages. It is needed only while building; not in the image.
FROM tools AS uv
RUN --mount=type=bind,from=certificates,source=/certificates,target=/mnt \
    if [ -f /mnt/ca.pem ]; then export SSL_CERT_FILE=/mnt/ca.pem; fi; \
    python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \
       "https://files.example.com/uv-0.9.3-py3-none-manylinux_2_28_x86_64.whl" /uv.whl \
    && echo "e6184ce10e266134fdcfa401e8f1a95005bcd4f18d16b62b757323e2833fe9a9  /uv.whl" > /uv.sha256 \
    && sha256sum --check --quiet /uv.sha256 \
    && python3 -m zipfile -e /uv.whl /uv \
    && install -D /uv/uv-*.data/scripts/uv /uv/bin/uv

FROM base

# A home and working folder that anyone may write to, whoever the container runs as.
WORKDIR /home/snapenv
RUN chmod 1777 /home/snapenv

# Libraries of the operating system that compiled packages load, as NAME=PACKAGE; none is
# installed that the base has. Beside them what the base lacks for any environment:
# ca-certificates. apt takes them from its distribution's snapshot archive as of the
# moment when the base was made. Where apt knows of none (before Debian 13 and Ubuntu 24.04) they
# are those of today. Versions are pinned by that moment, so not by name:
# hadolint ignore=DL3008
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,from=tools,source=/etc/ssl/certs,target=/mnt/authorities \
    ldconfig -p > /mnt/there; \
    set -- ; \
    for library do \
        shift; \
        grep -qF "${library%%=*} " /mnt/there || set -- "$@" "${library#*=}"; \
    done; \
    set -- "$@" ca-certificates; \
    for sources in ubuntu.sources debian.sources ../sources.list; do \
        if [ -s "/etc/apt/sources.list.d/$sources" ]; then break; fi; \
    done; \
    { echo "Dir::Etc::SourceList \"/etc/apt/sources.list.d/$sources\"; Dir::Etc::SourceParts \"-\";"; \
      echo 'APT::Update::Error-Mode "any";'; \
      if [ -f /mnt/certificates/ca.pem ]; then echo 'Acquire::https::CAInfo "/mnt/certificates/ca.pem";'; \
      else echo 'Acquire::https::CAInfo "/mnt/authorities/ca-certificates.crt";'; fi; \
      if apt-config dump > /mnt/known && grep -q '^Acquire::Snapshots::' /mnt/known; then \
          echo "APT::Snapshot \"$(date -u -r /var/lib/dpkg/status +%Y%m%dT%H%M%SZ)\";"; \
      fi; } > /mnt/apt.conf; \
    export APT_CONFIG=/mnt/apt.conf DEBIAN_FRONTEND=noninteractive; \
    apt-get update --quiet || exit 1; \
    for package do \
        shift; \
        apt-cache show "$package" > /mnt/shown 2>&1 || package="${package%t64}"; \
        set -- "$@" "$package"; \
    done; \
    apt-get install --quiet --yes --no-install-recommends "$@" \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb

# A Python environment of its own, which sees nothing of the base image's. uv fetches a
# Python 3.11.7 where the base has none; another patch of it is the last resort.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    export UV_PYTHON_INSTALL_DIR=/opt/snapenv/python; \
    UV_HTTP_RETRIES=1 /mnt/bin/uv venv --quiet --no-cache \
       --python 3.11.7 /opt/snapenv/venv \
    || /mnt/bin/uv venv --quiet --no-cache \
       --python 3.11 /opt/snapenv/venv

# Every pinned package.
RUN --mount=type=tmpfs,target=/mnt \
    --mount=type=cache,target=/mnt/cache \
    --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \
    --mount=type=bind,from=certificates,source=/certificates,target=/mnt/certificates \
    --mount=type=bind,source=pylock.toml,target=/mnt/lock/pylock.toml \
    if [ -f /mnt/certificates/ca.pem ]; then export SSL_CERT_FILE=/mnt/certificates/ca.pem; fi; \
    UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy /mnt/bin/uv pip install --quiet --no-deps --require-hashes \
       --python /opt/snapenv/venv/bin/python --requirements /mnt/lock/pylock.toml

# The environment is the active one. The base's pip may have constraints of its own (NVIDIA's pins
# hundreds of packages): they are not for this environment.
ENV VIRTUAL_ENV="/opt/snapenv/venv" \
    PATH="/opt/snapenv/venv/bin:$PATH" \
    PIP_CONSTRAINT=""

# The wheels bring their own CUDA libraries: the base's must not be found before them, nor be put
# back by what the base lets each shell read.
ENV LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64" \
    BASH_ENV="" \
    ENV=""

# NVIDIA's container toolkit gives a container the GPUs and the parts of the driver that these name.
ENV NVIDIA_VISIBLE_DEVICES="all" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility,video" \
    LANG="C.UTF-8"

# The environment variables that change training, as they were where this was captured.
ENV PYTHONOPTIMIZE="0" \
    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE="0"

# Ultralytics must neither install packages by itself nor write into a home that may not be there.
ENV YOLO_AUTOINSTALL="false" \
    YOLOv5_AUTOINSTALL="false" \
    YOLO_CONFIG_DIR="/tmp/ultralytics" \
    MPLCONFIGDIR="/tmp/matplotlib"

# The snapshot itself: what snapenv restore compares with.
COPY snapenv.toml pylock.toml Dockerfile SHA256SUMS /opt/snapenv/snapshot/

# Not root, and nobody in particular: --user UID:GID of anyone needs no entry in /etc/passwd, as
# names, settings and caches are found by these.
ENV HOME="/home/snapenv" \
    USER="snapenv" \
    LOGNAME="snapenv"
USER 1000:1000
