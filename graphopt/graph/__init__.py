"""Floor 1: load, save, check, shapes, types, text. The only place that names onnx_ir or protobuf."""
