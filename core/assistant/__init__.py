"""Reading CALM assistants: flows, domain, settings, and every complaint about them."""
