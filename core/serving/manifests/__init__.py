"""Files to take a model elsewhere: docker, Kubernetes, KServe, vLLM's production-stack and SkyServe."""
