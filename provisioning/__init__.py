"""Where jobs run: this machine, a machine over SSH, a cloud. Knows nothing of CALM."""
