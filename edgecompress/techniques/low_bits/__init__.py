"""Training with weights of fewer than 8 bits: what `quantize_aware` does below TF-MOT's 8."""
