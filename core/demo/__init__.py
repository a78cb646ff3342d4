"""The shipped sample assistant, its tests and its paraphrases."""
