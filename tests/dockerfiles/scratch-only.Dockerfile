FROM scratch
COPY model.onnx /model/
LABEL a=b
