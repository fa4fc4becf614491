"""How this machine gets at package indexes: configuration, credentials, and the wheels."""
