"""POST /smoke: one short prompt, to see that tokens come."""
