"""A data set -> a model folder. The only part that needs TensorFlow, besides `classifiers/keras.py`."""
