"""What makes a float model easier to quantize, without training: equalized channels, corrected biases."""
