"""What tasks does: a function each, with one transaction of its own."""
