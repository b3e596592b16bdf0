"""Commands, forms and other interactions."""
