package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestDataPlane goes through everything that a scoring request can be refused with.
func TestDataPlane(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "shop", script, map[string]any{"scoringTimeoutMs": 1500, "maxQueueWaitMs": 300})
		open := map[string]any{"authEnabled": false}
		i.Run("model", "deploy", "-n", "open", "-m", modelID, "--ct", "local", "--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, open))
		t.Run("refusals", func(t *testing.T) { dataPlaneRefusals(t, i.In(t), key) })
		t.Run("ids", func(t *testing.T) { requestIDs(t, i.In(t), key) })
		t.Run("too large", func(t *testing.T) { tooLarge(t, i.In(t), key) })
		t.Run("overload", func(t *testing.T) { overload(t, i.In(t), key) })
		t.Run("keys are off", func(t *testing.T) { mustScore(t, i.In(t), "open", "", nil) })
		t.Run("regenerated key", func(t *testing.T) { regeneratedKey(t, i.In(t), key) })
		t.Run("dead scorer", func(t *testing.T) { deadScorer(t, i.In(t), "open") })
	})
}

func dataPlaneRefusals(t *testing.T, i *harness.Installation, key string) {
	ctx := testContext(t)
	for _, test := range []struct {
		name          string
		endpoint, key string
		body          []byte
		header        http.Header
		want          int
		says          string
	}{
		{"no key", "shop", "", wish(`{}`), nil, http.StatusUnauthorized, "Auth Header"},
		{"wrong key", "shop", "wrong-wrong-wrong-wrong", wish(`{}`), nil, http.StatusUnauthorized, ""},
		{"unknown endpoint", "nothere", key, wish(`{}`), nil, http.StatusNotFound, "nothere"},
		{"unknown version", "shop", key, wish(`{}`), http.Header{"Azureml-Model-Deployment": {"version9"}}, http.StatusNotFound, "version9"},
		{"timeout", "shop", key, wish(`{"sleep": 4}`), nil, http.StatusGatewayTimeout, "timeout"},
		{"script error", "shop", key, wish(`{"raise": "no such customer"}`), nil, http.StatusBadGateway, ""},
		{"worker that ends", "shop", key, wish(`{"exit": 7}`), nil, http.StatusBadGateway, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			// An answer above may have ended the worker; the next one starts meanwhile.
			if test.want >= http.StatusInternalServerError {
				eventuallyScores(t, i, "shop", key)
			}
			answer, err := i.Score(ctx, test.endpoint, test.key, test.body, test.header)
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, answer, test.want, test.says)
		})
	}
	eventuallyScores(t, i, "shop", key)
}

// wantRefusal checks an error of the data plane: a reason in JSON, and ids.
func wantRefusal(t *testing.T, answer harness.Answer, status int, says string) {
	t.Helper()
	if answer.Status != status {
		t.Fatalf("the answer is %v, want %d", answer, status)
	}
	var body struct {
		Message string `json:"message"`
	}
	if err := answer.Decode(&body); err != nil || body.Message == "" {
		t.Errorf("no reason in JSON: %v, %v", answer, err)
	}
	if !strings.Contains(body.Message, says) {
		t.Errorf("the reason %q does not say %q", body.Message, says)
	}
	if answer.Header.Get("x-ms-request-id") == "" {
		t.Errorf("no request id: %v", answer)
	}
}

func requestIDs(t *testing.T, i *harness.Installation, key string) {
	given := http.Header{"X-Ms-Client-Request-Id": {"mine"}, "X-Ms-Request-Id": {"0f8fad5b-d9cb-469f-a165-70867728950e"}}
	answer := mustScore(t, i, "shop", key, given)
	for name, want := range given {
		if got := answer.Header.Get(name); got != want[0] {
			t.Errorf("%s is %q, want %q", name, got, want[0])
		}
	}
	if answer.Header.Get("x-ms-run-fn-exec-ms") == "" || answer.Version() == "" {
		t.Errorf("no time or no version in %v", answer.Header)
	}
	if own := mustScore(t, i, "shop", key, nil).Header.Get("x-ms-request-id"); own == "" {
		t.Error("no request id is made")
	}
}

// tooLarge announces a body above the limit and sends none of it.
func tooLarge(t *testing.T, i *harness.Installation, key string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.Data, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /api/v1/service/shop/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", key, 100<<20+1)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 413 ") || !strings.Contains(strings.ToLower(head), "x-ms-request-id:") || !strings.Contains(body, `"message"`) {
		t.Errorf("the answer is\n%s", raw)
	}
}

// overload keeps the only replica busy for longer than requests may wait.
func overload(t *testing.T, i *harness.Installation, key string) {
	ctx := testContext(t)
	answers := make([]harness.Answer, 4)
	errs := make([]error, len(answers))
	var done sync.WaitGroup
	for n := range answers {
		done.Go(func() { answers[n], errs[n] = i.Score(ctx, "shop", key, wish(`{"sleep": 1}`), nil) })
	}
	done.Wait()
	counts := map[int]int{}
	for n, answer := range answers {
		if errs[n] != nil {
			t.Fatal(errs[n])
		}
		counts[answer.Status]++
		if answer.Status == http.StatusServiceUnavailable {
			wantRefusal(t, answer, http.StatusServiceUnavailable, "overloaded")
			if answer.Header.Get("Retry-After") == "" {
				t.Error("nothing says when to try again")
			}
		}
	}
	if counts[http.StatusOK] != 1 || counts[http.StatusServiceUnavailable] != 3 {
		t.Errorf("the answers are %v, want one 200 and three 503", counts)
	}
}

// regeneratedKey changes the primary key: within a second the new one works and
// the old one does not; the secondary works all the time.
func regeneratedKey(t *testing.T, i *harness.Installation, old string) {
	ctx := testContext(t)
	secondary := keysOf(t, i, "shop").GetSecondaryKey()
	keys := must(apiOf(i).keys.RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{
		Name: endpointName("shop"), KeyType: authv1.KeyType_KEY_TYPE_PRIMARY,
	}))(t)
	if keys.GetPrimaryKey() == old || keys.GetSecondaryKey() != secondary {
		t.Error("the primary key did not change, or the secondary did")
	}
	status := func(key string) int {
		answer, err := i.Score(ctx, "shop", key, wish(`{}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	harness.Eventually(t, time.Second, "only the new key works", func() error {
		now, before, other := status(keys.GetPrimaryKey()), status(old), status(secondary)
		if other != http.StatusOK {
			t.Fatalf("the secondary key is answered with %d", other)
		}
		if now != http.StatusOK || before != http.StatusUnauthorized {
			return fmt.Errorf("the new key is answered with %d, the old one with %d", now, before)
		}
		return nil
	})
	const brought = "brought-by-the-user-0123456789"
	i.Run("endpoint", "regen-key", "-n", "shop", "--key", "Secondary", "--set-key", brought)
	harness.Eventually(t, time.Second, "the brought key works", func() error {
		if s := status(brought); s != http.StatusOK {
			return fmt.Errorf("it is answered with %d", s)
		}
		return nil
	})
}

// deadScorer kills the only replica in the middle of a request: that one is
// answered, and soon another replica answers.
func deadScorer(t *testing.T, i *harness.Installation, endpoint string) {
	ctx, cancel := context.WithTimeout(testContext(t), 30*time.Second)
	defer cancel()
	pid := replicaOf(t, i, endpoint).PID
	answered := make(chan harness.Answer, 1)
	go func() {
		answer, err := i.Score(ctx, endpoint, "", wish(`{"sleep": 20}`), nil)
		if err != nil {
			answer.Body = []byte(err.Error())
		}
		answered <- answer
	}()
	awaitInFlight(t, i, endpoint)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, <-answered, http.StatusBadGateway, "closed connection")
	harness.Eventually(t, 20*time.Second, "another replica answers", func() error {
		answer, err := i.Score(ctx, endpoint, "", wish(`{}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		switch answer.Status {
		case http.StatusOK:
			return nil
		case http.StatusBadGateway, http.StatusServiceUnavailable:
			wantRefusal(t, answer, answer.Status, "")
		default:
			t.Fatalf("the answer is %v", answer)
		}
		return fmt.Errorf("%v", answer)
	})
	if again := replicaOf(t, i, endpoint).PID; again == pid {
		t.Errorf("the process is still %d", pid)
	}
}
