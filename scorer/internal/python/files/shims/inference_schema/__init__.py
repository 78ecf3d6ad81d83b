"""What entry scripts import of inference_schema: decorators that describe and convert the arguments of run()."""
