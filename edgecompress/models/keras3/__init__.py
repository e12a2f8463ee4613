"""Models of Keras 3 brought in: translated to tf_keras layer by layer, and proved equal."""

from edgecompress.models.keras3.translate import translate

__all__ = ["translate"]
