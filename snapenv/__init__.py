"""snapenv freezes a GPU training environment that works, and brings it back on another machine.

The values flow one way::

    target ──probe──► facts ──lock──► snapshot ──base──► base image ──render──► Dockerfile
                                          │                                          │
                                          │                                        engine
                                          │                                          ▼
                                          └─ baseline ─► verify ◄─ probe + smoke-train ─ image, venv
                                                            │
                                                            └──► report (terminal, JSON)

``cli`` meets the user, ``workflows`` knows the order of the steps, each stage takes values and
returns values, ``ports`` says what is asked of the outside, ``model`` is the vocabulary.
"""

__version__ = "0.1.0.dev0"
