"""Fine-tuning: the plan, the program, the artifact."""
