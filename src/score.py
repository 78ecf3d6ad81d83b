import time
def init(): pass
def run(data):
    time.sleep(0.2)
    return {"ok": True}
