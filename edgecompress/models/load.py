from edgecompress.backend import keras, model_optimization
def load_model(path, *, allow_code=False):
    mo = model_optimization()
    with mo.quantization.keras.quantize_scope():
        return keras.models.load_model(path, compile=False)
