"""From a model file to an answer, with NumPy and onnxruntime only: this room never imports torch."""

from isogloss.runtime.identifier import Answer, Identifier, load
from isogloss.runtime.model_file import Manifest, ModelFile, read_model_file, write_model_file

__all__ = ["Answer", "Identifier", "Manifest", "ModelFile", "load", "read_model_file", "write_model_file"]
