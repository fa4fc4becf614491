"""The real parts that tests run on: an engine, a registry, a base image, an exact environment.

``python -m tests.engines`` makes and starts them, ``python -m tests.engines stop`` stops them.
They live in ``$SNAPENV_TEST_CACHE`` (``~/.cache/snapenv-tests``) and are kept between runs. The
engine of the system is never touched: ours has its own data root, socket, bridge and containerd
namespace.
"""
