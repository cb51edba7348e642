"""Programs that draw the curves of a training run: TensorBoard, Weights & Biases, Trackio."""
