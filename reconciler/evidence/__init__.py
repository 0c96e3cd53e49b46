"""What may be known of a model version, read from MLflow and from the files beside the model."""
