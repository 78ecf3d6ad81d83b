"""Scores N times and says which version answered how often.

Usage: split.py URL KEY REQUEST_FILE N [VERSION=PERCENT ...]. Fails when a
request fails or a version is more than half a percent off its share.
"""

import collections
import http.client
import sys
import urllib.parse

url, key, request_file, n, *shares = sys.argv[1:]
n = int(n)
body = open(request_file, "rb").read()
address = urllib.parse.urlsplit(url)
connection = http.client.HTTPConnection(address.netloc)
counts = collections.Counter()
for _ in range(n):
    connection.request("POST", address.path, body, {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"a request failed: {answer.status} {text.decode()}")
    counts[answer.headers["azureml-model-deployment"]] += 1
for version, count in sorted(counts.items()):
    print(f"  {version:<10} {count:5} of {n} requests  {100 * count / n:5.1f} %")
for share in shares:
    version, percent = share.split("=")
    if abs(100 * counts[version] / n - float(percent)) > 0.5:
        sys.exit(f"{version} should have {percent} % of the traffic")
