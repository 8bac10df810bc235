"""What an owner's tasks are like, in a form that counts and orders very many of them quickly."""
