"""Facts in the past tense: frozen, versioned, one module per aggregate."""
