"""The server that the scorer is measured against: Flask behind gunicorn, with the old product's ids, headers and JSON."""

import importlib.util
import json
import logging
import os
import sys
import time
import uuid

import flask

spec = importlib.util.spec_from_file_location("entry_script", os.environ["ENTRY_SCRIPT"])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
script.init()

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s")
access = logging.getLogger("access")
app = flask.Flask(__name__)


@app.before_request
def identify():
    headers = flask.request.headers
    given = headers.get("x-request-id")
    client = headers.get("x-ms-client-request-id")
    ms = headers.get("x-ms-request-id")
    for value in (given, client, ms):
        if value and len(value) > 100:
            return flask.Response("an id must not exceed 100 characters", 431)
    flask.g.request_id = given or str(uuid.uuid4())
    flask.g.ms_request_id = ms or client or flask.g.request_id
    flask.g.client_request_id = client or ms
    flask.g.start = time.perf_counter()
    return None


@app.after_request
def mark(response):
    response.headers["x-request-id"] = flask.g.request_id
    response.headers["x-ms-request-id"] = flask.g.ms_request_id
    if flask.g.client_request_id:
        response.headers["x-ms-client-request-id"] = flask.g.client_request_id
    response.headers["x-ms-server-version"] = "bench/1"
    duration = (time.perf_counter() - flask.g.start) * 1000
    access.info("%s %s %d %.3fms %d", flask.request.method, flask.request.path, response.status_code, duration, response.content_length)
    return response


@app.get("/")
def health():
    return "Healthy"


@app.post("/score")
def score():
    data = flask.request.get_data().decode("utf-8")
    start = time.perf_counter()
    try:
        value = script.run(data)
    except Exception:
        logging.exception("run() raised an exception")
        response = flask.jsonify(message="An unexpected error occurred in scoring script. Check the logs for more info.")
        response.status_code = 500
        response.headers["x-ms-run-function-failed"] = "True"
        return response
    response = flask.Response(json.dumps(value), 200, mimetype="application/json")
    response.headers["x-ms-run-function-failed"] = "False"
    response.headers["x-ms-run-fn-exec-ms"] = "%.3f" % ((time.perf_counter() - start) * 1000)
    return response
