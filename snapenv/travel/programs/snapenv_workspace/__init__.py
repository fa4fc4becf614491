"""Runs in a workspace: Jupyter, TensorBoard and sshd beside an environment that stays as it is."""
