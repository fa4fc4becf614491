"""What several commands do in the same way: steps that their workflows put in order."""
