"""How every figure looks, and the two figures that reports and TensorBoard share. No torch, so quick to import."""
