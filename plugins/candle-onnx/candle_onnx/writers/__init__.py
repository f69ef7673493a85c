"""candle's ops as ONNX's operators, by chapters; each module enters its own into the table."""
