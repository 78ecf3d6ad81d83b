package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

const blue = `kind: Endpoint
name: fruit
tags: {stage: blue}
versions:
  - name: blue
    entryScript: score.py
    requestSettings: {maxQueueWait: 10s}
`

const green = `kind: Endpoint
name: fruit
tags: {stage: green}
versions:
  - name: green
    source: src
    entryScript: score.py
    environmentVariables: {COLOUR: green}
    requestSettings: {maxQueueWait: 10s}
    trafficPercentile: 90
    default: true
`

// TestApply makes an endpoint from a file, leaves it alone when nothing differs,
// and replaces its version by another one while requests go on.
func TestApply(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		dir := writeFiles(t, map[string]string{"score.py": script, "src/score.py": script, "fruit.yaml": blue})
		file := filepath.Join(dir, "fruit.yaml")
		if out := i.Run("apply", "-f", file, "--dry-run"); !strings.Contains(out, "endpoint fruit: to be created") {
			t.Errorf("the dry run says:\n%s", out)
		}
		if out := i.Run("apply", "-f", dir); !strings.Contains(out, "endpoint fruit: created") {
			t.Errorf("it says:\n%s", out)
		}
		if out := i.Run("apply", "-f", file); !strings.Contains(out, "endpoint fruit: unchanged") {
			t.Errorf("applied again, it says:\n%s", out)
		}
		i.Run("diff", "-f", file) // exit code 0: no difference

		if err := os.WriteFile(file, []byte(green), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := i.Refused("diff", "-f", file, "--prune"); r.Code != 1 || r.Stderr != "" || !strings.Contains(r.Stdout, "+ version green") || !strings.Contains(r.Stdout, "- version blue") {
			t.Errorf("exit code %d, differences:\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		clients := startTraffic(t, i, "fruit", keysOf(t, i, "fruit").GetPrimaryKey())
		clients.awaitMore(t, 30)
		i.Run("apply", "-f", file, "--prune")
		clients.awaitMore(t, 60)
		clients.end(t)
		e := showEndpoint(t, i, "fruit")
		if len(e.GetVersions()) != 1 || e.GetDefaultVersion() != "green" || e.GetTags()["stage"] != "green" {
			t.Errorf("it has become %v", e)
		}

		if err := os.WriteFile(file, []byte(strings.Replace(green, "entryScript: score.py", "entryScript: nothere.py\n    replica: 2", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := i.Refused("apply", "-f", file)
		for _, want := range []string{"2 points", "fruit.yaml:8: versions[0].replica: is not known; did you mean replicas?", "versions[0].entryScript: there is no script "} {
			if !strings.Contains(r.Stderr, want) {
				t.Errorf("it does not say %q:\n%s", want, r.Stderr)
			}
		}
		if r := i.Refused("diff", "-f", file); r.Code < 2 {
			t.Errorf("trouble has exit code %d", r.Code)
		}
	})
}

// TestOneChangeAtATime refuses a second change by name of the first, lets it wait
// when that is asked for, and goes back when the first is cancelled.
func TestOneChangeAtATime(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "queue", script, map[string]any{"maxQueueWaitMs": 10_000})
		clients := startTraffic(t, i, "queue", key)
		slow := inferenceConfig(t, strings.Replace(script, "def init():", "def init():\n    time.sleep(300)", 1))
		operation := strings.TrimSpace(i.Run("endpoint", "update", "-n", "queue", "--ic", slow, "--no-wait"))
		e := showEndpoint(t, i, "queue")
		if e.GetRunningOperation() != operation {
			t.Errorf("%q runs, not %q", e.GetRunningOperation(), operation)
		}
		if r := i.Refused("endpoint", "update", "-n", "queue", "--add-tag", "a=b"); r.Code != 3 || !strings.Contains(r.Stderr, operation) {
			t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
		}
		answer, err := i.REST(testContext(t), http.MethodDelete, "/v1/"+e.GetVersions()[0].GetName(), nil)
		if err != nil || answer.Status != http.StatusConflict || !strings.Contains(string(answer.Body), "OPERATION_IN_PROGRESS") {
			t.Errorf("by REST: %v, %d %s", err, answer.Status, answer.Body)
		}
		queued := make(chan harness.Result, 1)
		go func() {
			r, err := i.CLI(testContext(t), "endpoint", "update", "-n", "queue", "--add-tag", "a=b", "--wait")
			if err != nil {
				r.Stderr += err.Error()
			}
			queued <- r
		}()
		i.Run("operation", "cancel", operation[strings.LastIndexByte(operation, '/')+1:])
		if r := <-queued; r.Code != 0 {
			t.Errorf("the change that waited:\n%s", r.Stderr)
		}
		i.Run("endpoint", "wait", "-n", "queue")
		e = showEndpoint(t, i, "queue")
		v := e.GetVersions()[0]
		if e.GetTags()["a"] != "b" || v.GetState() != deployv1.State_STATE_HEALTHY || v.GetRevision() != 3 || v.GetServingRevision() != 3 {
			t.Errorf("it has become %v", e)
		}
		clients.awaitMore(t, 30)
		clients.end(t)

		i.Run("endpoint", "update", "-n", "queue", "--ic", slow, "--no-wait")
		i.Run("endpoint", "delete", "-n", "queue") // always
	})
}
