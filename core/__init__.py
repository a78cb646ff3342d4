"""calmtune's engine room: CALM assistants, their tests, the training recipe. Knows no terminal."""
