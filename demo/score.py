"""An entry script as people have them from the old product, unchanged."""

import json

import numpy
from azureml.core.model import Model
from sklearn.externals import joblib


def init():
    global model
    model = joblib.load(Model.get_model_path("diabetes"))


def run(raw_data):
    data = numpy.array(json.loads(raw_data)["data"])
    return model.predict(data).tolist()
