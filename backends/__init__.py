"""Where objects are kept: one interface, several stores."""
