"""How a letter gets in: envelope, recipients, trace fields, one commit."""
