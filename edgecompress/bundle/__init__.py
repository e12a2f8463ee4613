"""The bundle: all that goes to a device, in one .zip or over SSH. Free of TensorFlow."""

from edgecompress.bundle.pack import model_bundle, run_bundle, write_bundle

__all__ = ["model_bundle", "run_bundle", "write_bundle"]
