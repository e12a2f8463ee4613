"""Post-training int8 of MLPerf Tiny's anomaly detector on its one machine sound."""

import numpy as np

from edgecompress.backend import tf
from edgecompress.device.runtime import TfliteModel
from edgecompress.evaluation.parity import snr_db
from edgecompress.models import load_model


def test_anomaly_detector_is_not_noisier_than_the_converter_makes_it(data_folder, convert_as):
    folder = data_folder / "mlperf_tiny/ad"
    frames = np.fromfile(folder / "normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(-1, 128)
    windows = np.stack([frames[start : start + 5].ravel() for start in range(196)])
    calibration, samples = windows[::2], windows[1::2]
    model = load_model(folder / "ad01.h5")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    expected = model.predict(samples, verbose=0)
    by_hand, ours = (
        snr_db(expected, expected - TfliteModel(content).predict(samples))
        for content in (converter.convert(), convert_as(model, samples=calibration, format="int8").content)
    )
    assert ours >= by_hand
