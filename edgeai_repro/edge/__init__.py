"""What goes to an edge device: models as ONNX files in a bundle, built here and run there without torch."""
