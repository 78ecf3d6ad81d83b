import json

import numpy
from sklearn.linear_model import Ridge


def init():
    global model
    x = numpy.random.RandomState(0).rand(400, 10)
    model = Ridge().fit(x, x.sum(axis=1))


def run(data):
    return model.predict(numpy.array(json.loads(data)["data"])).tolist()
