"""Who is calling, and may they: signatures, credentials, access."""
