package scorer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/onnxtest"
)

func onnxConfig(tb testing.TB, model string) scorer.Config {
	tb.Helper()
	cfg := scorer.DefaultConfig()
	cfg.Runtime, cfg.ServiceName = "onnx", model
	cfg.ONNX.ModelFile, cfg.ONNX.Library, cfg.ONNX.Threads = onnxtest.Model(model), onnxtest.Library(tb), 1
	return cfg
}

// numbers is a row of numbers in JSON.
func numbers(tb testing.TB, value any) string {
	tb.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestONNX(t *testing.T) {
	r := startReady(t, onnxConfig(t, "ridge"))
	want := onnxtest.ReferenceOf(t, "ridge")
	check := func(what, answer string, of func() [][]float64) {
		t.Helper()
		for i, row := range of() {
			if math.Abs(row[0]-want.Output[i][0]) > 1e-6 {
				t.Errorf("%s: row %d is %v, want %v: %s", what, i, row, want.Output[i], answer)
			}
		}
	}
	t.Run("score", func(t *testing.T) {
		res, body := r.ask(t, "POST", "/score", `{"features": `+numbers(t, want.Input)+`}`)
		var answer struct{ Progression [][]float64 }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || res.StatusCode != 200 || len(answer.Progression) != len(want.Output) {
			t.Fatalf("%d %s: %v", res.StatusCode, body, err)
		}
		check("/score", body, func() [][]float64 { return answer.Progression })
		if res.Header.Get("X-Ms-Run-Function-Failed") != "False" || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("headers %v", res.Header)
		}
	})
	t.Run("open inference protocol", func(t *testing.T) {
		request := fmt.Sprintf(`{"inputs": [{"name": "features", "datatype": "FP64", "shape": [%d, 10], "data": %s}]}`, len(want.Input), numbers(t, want.Input))
		res, body := r.ask(t, "POST", "/v2/models/ridge/infer", request)
		var answer struct{ Outputs []struct{ Data []float64 } }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || res.StatusCode != 200 || len(answer.Outputs) != 1 {
			t.Fatalf("%d %s: %v", res.StatusCode, body, err)
		}
		check("/v2", body, func() [][]float64 {
			var rows [][]float64
			for _, v := range answer.Outputs[0].Data {
				rows = append(rows, []float64{v})
			}
			return rows
		})
	})
	for path, text := range map[string]string{
		"/swagger.json": `"features"`, "/-/status": `"execution_provider":"cpu"`, "/v2/models/ridge": `"shape":[-1,10]`, "/": "Healthy",
	} {
		if res, body := r.ask(t, "GET", path, ""); res.StatusCode != 200 || !strings.Contains(strings.ReplaceAll(body, `": `, `":`), text) {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	if res, body := r.ask(t, "POST", "/score", `{"features": [[1]], "more": 2}`); res.StatusCode != 400 || !strings.Contains(body, "must be [any 10]") || !strings.Contains(body, "more is no input") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestONNXInBatches(t *testing.T) {
	cfg := onnxConfig(t, "digits")
	cfg.ONNX.MaxBatchSize, cfg.ONNX.MaxBatchDelay = 8, 5*time.Millisecond
	r := startReady(t, cfg)
	want := onnxtest.ReferenceOf(t, "digits")
	var all sync.WaitGroup
	for i := range want.Input {
		all.Go(func() {
			for range 20 {
				res, body := r.ask(t, "POST", "/score", `{"data": `+numbers(t, want.Input[i:i+1])+`}`)
				if digit := fmt.Sprintf(`"digit": [%d]`, want.Digit[i]); res.StatusCode != 200 || !strings.Contains(body, digit) {
					t.Errorf("%d %s, want %s", res.StatusCode, body, digit)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestONNXTakesNoLongerThanAllowed(t *testing.T) {
	cfg := onnxConfig(t, "slow")
	cfg.Limits.ScoringTimeout = 100 * time.Millisecond
	r := startReady(t, cfg)
	if res, body := r.ask(t, "POST", "/score", `{"start": [1], "times": [1000000000000]}`); res.StatusCode != 500 || !strings.Contains(body, "Scoring timeout after 100 ms") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := r.ask(t, "POST", "/score", `{"start": [1], "times": [5]}`); res.StatusCode != 200 || body != `{"end": [6.0]}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// What runs when the scorer has to end is broken off before the model goes.
func TestONNXEndsWhileItComputes(t *testing.T) {
	cfg := onnxConfig(t, "slow")
	cfg.Limits.DrainTimeout, cfg.Limits.MaxQueue = 50*time.Millisecond, 0
	r := startReady(t, cfg)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		res, err := r.client.Post(r.url+"/score", "application/json", strings.NewReader(`{"start": [1], "times": [1000000000000]}`))
		if err == nil {
			drain(res)
		}
	}()
	// The one slot is taken when a request that may wait for nobody is refused.
	eventually(t, "the model computes", func() (bool, bool) {
		res, _ := r.ask(t, "POST", "/score", `{"start": [1], "times": [1]}`)
		return res.StatusCode == 503, true
	})
	r.stop()
	<-answered
	<-r.ended
	if r.err != nil {
		t.Error(r.err)
	}
}

func TestONNXThatCannotStart(t *testing.T) {
	library := onnxtest.Library(t)
	two := t.TempDir()
	for _, name := range []string{"a.onnx", "b.onnx"} {
		if err := os.WriteFile(filepath.Join(two, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change       func(*scorer.ONNXConfig)
		modelDir     string
		reason, text string
	}{
		"without ONNX Runtime": {func(c *scorer.ONNXConfig) { c.Library = "/nowhere" }, "", "OnnxRuntimeMissing", "make onnxruntime"},
		"missing model":        {func(c *scorer.ONNXConfig) { c.ModelFile = onnxtest.Model("none") }, "", "ModelError", "none.onnx"},
		"no model":             {func(c *scorer.ONNXConfig) { c.ModelFile = "" }, t.TempDir(), "ModelError", "there is no file that ends with .onnx"},
		"several models":       {func(c *scorer.ONNXConfig) { c.ModelFile = "" }, two, "ModelError", "a.onnx, b.onnx; name one"},
		"broken model":         {func(c *scorer.ONNXConfig) { c.ModelFile = filepath.Join(two, "a.onnx") }, "", "ModelError", "a.onnx is no model"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := onnxConfig(t, "digits")
			cfg.Listen, cfg.ModelDir, cfg.FailureFile = "127.0.0.1:0", test.modelDir, filepath.Join(t.TempDir(), "failure")
			cfg.ONNX.Library = library
			test.change(&cfg.ONNX)
			stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			err = scorer.Run(context.Background(), cfg, scorer.Deps{Log: slog.New(slog.DiscardHandler), Stdout: stderr, Stderr: stderr})
			var start *scorer.StartError
			if !errors.As(err, &start) || start.Reason != test.reason || !strings.Contains(err.Error(), test.text) || scorer.ExitCode(err) != 3 {
				t.Errorf("got %v", err)
			}
			if left, err := os.ReadFile(cfg.FailureFile); err != nil || !strings.Contains(string(left), test.reason) {
				t.Errorf("the failure file has %s, %v", left, err)
			}
		})
	}
}

func TestONNXFlags(t *testing.T) {
	_, err := scorer.ParseFlags([]string{
		"--runtime", "onnx", "--execution-providers", "gpu", "--max-batch-size", "0", "--max-batch-delay", "-1s", "--compute-threads", "-1",
	}, func(string) string { return "" }, io.Discard)
	for _, text := range []string{"model-file is missing", `execution-providers: "gpu"`, "max-batch-size is 0", "max-batch-delay is -1s", "compute-threads is -1"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %v", text, err)
		}
	}
}
