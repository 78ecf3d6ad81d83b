"""The parts of azureml_inference_server_http that entry scripts import."""
