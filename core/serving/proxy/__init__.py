"""A proxy between assistants and the server of their tuned model: it adds a grammar, and lets a server be reached from outside safely."""
